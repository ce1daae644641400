"""What a model, a recipe and a release may be called: a name that is a file's everywhere."""

#: As a regular expression.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
