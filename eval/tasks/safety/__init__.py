"""Requests for harm, and honest ones that look dangerous: what an answer carries, and whether it is a refusal.

From outside: `hooks` by the task files, `answers` and `refusals` by whoever watches answers.
"""
