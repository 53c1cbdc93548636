"""treeroll inside the trainers that people use. One folder each; nothing of theirs is imported until theirs is."""
