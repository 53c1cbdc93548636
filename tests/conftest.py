"""Shared by all tests; being here also lets them import `handmade`."""
