"""Training rows from teachers: `expand` asks models for more rows like a few seeds, or for their answers to requests;
`merge` makes one row of several teachers' answers; `validate` checks a file of rows line by line and proposes repairs.
"""
