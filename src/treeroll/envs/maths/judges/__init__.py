"""Source of what judges answers: each file is run in a session of its own, and defines `score(..., answer) -> float`.

equality   two answers as mathematics (math-verify)
gym        an answer to a task of reasoning-gym, by its family's scorer
"""
