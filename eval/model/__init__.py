"""Models and tasks through lm-evaluation-harness: the only room that imports torch.

From outside: `hf` loads and generates, `lm_tasks` builds samples and scores, `drift` measures, `answer_cache` keeps.
"""
