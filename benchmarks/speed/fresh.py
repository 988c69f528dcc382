"""`python -m benchmarks.speed.fresh DIRECTORY THREADS TEXT`: load a chat model and say one token."""

import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    """Print the number of the first token."""
    directory, threads, text = sys.argv[1:]
    torch.set_num_threads(int(threads))
    tokenizer: Any = AutoTokenizer.from_pretrained(directory)
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype="auto")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answered = model.generate(**prompt, max_new_tokens=1, do_sample=False)
    print(int(answered[0, -1]), flush=True)


if __name__ == "__main__":
    main()
