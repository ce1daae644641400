"""What the documentation tells people to type exists."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import galmorph
from galmorph.cli import app
from galmorph.surveys import load_survey

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *(page for folder in ("training", "inference", "catalogs", "docker") for page in ROOT.glob(f"{folder}/**/*.md")),
]


def blocks(language: str) -> list[tuple[str, str]]:
    """Code blocks of a language (empty: of none) with the page they stand on."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(str(page.relative_to(ROOT)), code) for page in PAGES for code in pattern.findall(page.read_text())]


def commands() -> list[tuple[str, str]]:
    """Command lines of galmorph in the docs; those that take options from a file are for tests/cli."""
    found = []
    for language in ("", "bash", "sh", "console"):
        for page, code in blocks(language):
            for line in code.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ")
                if line.startswith("galmorph ") and "…" not in line and "--config" not in line:
                    found.append((page, line))
    return found


def test_there_are_commands_to_check():
    assert len(commands()) > 10


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_are_understood(page, line):
    tokens = shlex.split(line, comments=True)[1:]
    app.parse_args(tokens, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_names_in_examples_exist(page, code):
    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "galmorph"
    }
    for name in used:
        assert hasattr(galmorph, name), f"{page} uses galmorph.{name}"


@pytest.mark.parametrize(("page", "code"), [block for block in blocks("python") if "galmorph.classify" in block[1]])
def test_examples_that_start_workers_can_be_saved_as_scripts(page, code):
    """Worker processes import the script again: all that it does there is define things."""
    imports = (ast.Import, ast.ImportFrom)
    statements = [node for node in ast.parse(code).body if not isinstance(node, imports)]
    assert [ast.unparse(node).splitlines()[0] for node in statements] == ["if __name__ == '__main__':"], page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_profile_in_the_docs_is_one(tmp_path):
    profiles = [code for _, code in blocks("toml") if "[[layouts]]" in code]
    assert profiles
    for code in profiles:
        (tmp_path / "profile.toml").write_text(code)
        assert load_survey(tmp_path / "profile.toml").layouts
        # What is commented out is right too.
        (tmp_path / "profile.toml").write_text(re.sub(r"^# (?=\[|\w+ = )", "", code, flags=re.MULTILINE))
        assert load_survey(tmp_path / "profile.toml").layouts[0].mask is not None


@pytest.mark.parametrize("path", sorted(ROOT.glob("catalogs/examples/*.sql")), ids=lambda path: path.name)
def test_examples_of_sql_can_be_given_on_the_command_line(path):
    """As `galmorph catalog query RUN/catalog "$(cat FILE)"`: what begins with a dash is taken for an option."""
    _command, bound, _ = app.parse_args(["catalog", "query", "run/catalog", path.read_text()], exit_on_error=False)
    assert path.read_text() in bound.arguments.values()


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {page.name for page in folder.glob("0*.md")}
