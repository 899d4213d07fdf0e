"""What prompts mean: A1111's syntax, styles, wildcards, tokens. Without torch; only `encoding` and `weighting` need it.

emphasis.py     brackets and BREAK into weighted spans
timeline.py     `[from:to:when]` and `[a|b]`: which text holds at which step
composition.py  `AND` and its weights
tags.py         `<lora:name:1>` and its like
choices.py      `{a|b}` and `__name__`, drawn from a picture's seed
wildcards.py    the folder that `__name__` reads
comments.py     `# …` to the end of a line
styles.py       named texts round a prompt, from CSV and JSON
words.py        all of that in order: what one picture's words are, and what they say at each step
chunks.py       tokens cut into pieces that an encoder reads at a time
tokens.py       tokenizers without their model, and the count of a prompt's tokens
weighting.py    weights brought into what an encoder said
encoding.py     pieces through an encoder and back into one sequence
book.py         styles, wildcards and the counter as one service
"""
