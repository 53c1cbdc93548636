"""Turns sampled by vLLM: its engine in this process (`colocated`), or an OpenAI-compatible server (`server`).

terms       what is asked of vLLM for a turn, and how its answer becomes one
witness     whether its weights are the learner's: log-probabilities of a few fixed tokens, at every update
colocated   `ColocatedSampler`
server      `ServerSampler`; http, flight, copy and folder are its requests, its turns in flight, its new weights and
            where their files lie
worker      what a server's workers do at an update
"""
