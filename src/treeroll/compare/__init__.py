"""`treeroll compare`: methods side by side, from one checkpoint, at one budget, over seeds and worlds.

| file | what it holds |
|---|---|
| `arms.py` | the words of the command line: arms, worlds, seeds, rates |
| `request.py` | from them to a plan whose every configuration is known to work |
| `jobs.py` | one run of a plan: what it is started with, whether it is finished, what it keeps |
| `start.py` | starts the processes of runs, forked where the system can |
| `preload.py` | what the process that they are forked from has imported and made |
| `worker.py` | the process of a run: stops after its step when the comparison ends |
| `processes.py` | runs jobs side by side |
| `view.py` | shows them |
| `command.py` | the whole command |
| `replay.py`, `recordings.py` | rules judged on recorded forests |

What a comparison came to is read from its folder by `treeroll.comparison`.
"""
