"""Environments of other frameworks as worlds, by their shape: nothing of them is imported until their objects come in.

    openenv    OpenEnv `Environment`: reset() and step(action), typed actions
    skyrl      skyrl-gym `BaseTextEnv`: init(prompt) and step(text)
    trl        objects of TRL's `environment_factory`: reset(**row), public methods as tools, get_reward()
    verifiers  `verifiers.v1.Env` with tasks that need no tools: conversations that run(task, agents) leads

Each module has one function, `world(...)`, which returns a `World`. An episode is continued from its middle by a deep
copy of the foreign object; where that fails (it holds a lock, a socket, a process), by replay of its actions.
"""
