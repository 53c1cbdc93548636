"""What runs on the other side: the launcher process and its sessions. Standard library only.

It is started under the name `child`, not as a part of treeroll, so that a session holds nothing of the trainer:

    launch     the launcher: forks sessions, answers their requests to fork, kills all when the trainer is gone
    session    one session: waits frozen, forks when told, runs code in the fork
    execute    runs one piece of code as a REPL does
    confine    takes everything away from a process that code must not have; Landlock and seccomp below it
"""
