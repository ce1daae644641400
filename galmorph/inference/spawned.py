"""Worker processes of this machine import the script that starts them, which must not start them again."""

import ast
import inspect
import sys
from pathlib import Path

from galmorph.errors import RunError

GUARD = (
    'put what the script does below a line `if __name__ == "__main__":`, or give scheduler=, the address of a Dask '
    "cluster that runs already"
)


def refuse_import() -> None:
    """Raise where a process that was started to work is still importing the script of the one that started it.

    Raises
    ------
    RunError
        If a script calls without asking whether it is run or imported.
    """
    # Python's multiprocessing calls the script so. Once it is imported it takes the place of the main module, and its
    # functions may do what they like.
    script = sys.modules.get("__mp_main__")
    if script is not None and script is not sys.modules["__main__"]:
        raise RunError(
            f"the script starts workers whenever it is imported, and each of its workers imports it: {GUARD}"
        )


def starts_when_imported() -> bool:
    """Whether the call under way is of a script's that would make it when it is imported, too."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    lines = [
        frame.lineno
        for frame in inspect.stack(context=0)
        if frame.frame.f_globals is vars(main) and frame.function == "<module>"
    ]
    if path is None or not lines:
        return False
    try:
        statements = ast.parse(Path(path).read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError):  # no script of Python's, or one that has changed
        return False
    guarded = [
        range(statement.lineno, (statement.end_lineno or 0) + 1)
        for statement in statements
        if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)
    ]
    return not any(lines[0] in rows for rows in guarded)
