"""What no file of the program may do, and what no file of the repository may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from tests.architecture.sources import ROOT, Module, imports, modules, source, tracked_files

UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "print"}
BANNED_ATTRIBUTES = {"torch.load", "torch.serialization.load", "os.system", "os.popen"}
# Where the program talks to a terminal.
DOORS = ("app", "engine.cli", "engine.setup", "engine.demo")
# Settings that the libraries want to be assigned.
ASSIGNABLE = ("torch.backends.", "os.environ")
CACHES = {"functools.cache", "functools.lru_cache", "cache", "lru_cache"}
CONTAINERS = {"dict", "list", "set", "defaultdict", "OrderedDict", "WeakValueDictionary"}
UNFINISHED = re.compile(
    r"#.*\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b"
)
LARGEST_FILE = 20 * 1024 * 1024
HOME_FOLDERS = re.compile(rb"(/(?:home|Users|root)/|[A-Z]:\\Users\\)[A-Za-z0-9_.-]+")


def violations(parsed: Iterable[Module]) -> list[str]:
    """Every banned thing that the modules do, with its place."""
    return [
        f"{module.path}:{line}: {fault}"
        for module in parsed
        for line, fault in sorted({*_imported(module), *_walked(module), *_commented(module)})
    ]


def _imported(module: Module) -> Iterator[tuple[int, str]]:
    for name, line in imports(module):
        if name.split(".")[0] in UNPICKLERS or name in BANNED_ATTRIBUTES:
            yield line, f"imports {name}"


def _commented(module: Module) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(module.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield number, "unfinished work"


def _walked(module: Module) -> Iterator[tuple[int, str]]:
    imported = _imported_names(module)
    for node in ast.walk(module.tree):
        faults = (
            *_in_call(node, module),
            *_in_handler(node),
            *_in_assignment(node, imported),
            *_in_definition(node),
        )
        yield from ((node.lineno, fault) for fault in faults)
    for node in module.tree.body:
        yield from ((node.lineno, fault) for fault in _in_module_body(node))


def _in_call(node: ast.AST, module: Module) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and ast.unparse(node) in BANNED_ATTRIBUTES:
        yield f"uses {ast.unparse(node)}"
    if not isinstance(node, ast.Call):
        return
    name = ast.unparse(node.func)
    if name in BANNED_CALLS:
        yield f"calls {name}"
    if name.endswith(("stdout.write", "stderr.write")) and not module.name.startswith(DOORS):
        yield "writes to the terminal"
    for keyword in node.keywords:
        value = ast.unparse(keyword.value)
        if (keyword.arg, value) in {("trust_remote_code", "True"), ("shell", "True")}:
            yield f"passes {keyword.arg}=True"
        if (keyword.arg, value) == ("strict", "False") and name != "zip":
            yield "passes strict=False"


def _in_handler(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ExceptHandler):
        caught = "everything" if node.type is None else ast.unparse(node.type)
        blind = node.type is None or re.search(r"\b(Base)?Exception\b", caught)
        if blind and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            yield f"catches {caught} and does not raise it again"
    if isinstance(node, ast.Global):
        yield f"global {', '.join(node.names)}"


def _in_assignment(node: ast.AST, imported: set[str]) -> Iterator[str]:
    """Assigning to what another module owns changes it for everyone."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        name = ast.unparse(target)
        owned = isinstance(target, ast.Attribute) and name.split(".")[0] in imported
        if owned and not name.startswith(ASSIGNABLE):
            yield f"assigns to {name}"
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
        first = ast.unparse(node.args[0]).split(".")[0]
        if first in imported:
            yield f"assigns to {first} by setattr"


def _in_definition(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for decorator in node.decorator_list:
            name = ast.unparse(decorator).split("(")[0]
            if name in CACHES:
                yield f"keeps a cache for the life of the program ({name})"


def _in_module_body(node: ast.stmt) -> Iterator[str]:
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    empty = isinstance(value, ast.Dict) and not value.keys
    empty |= isinstance(value, ast.List) and not value.elts
    if isinstance(value, ast.Call):
        empty |= ast.unparse(value.func).split(".")[-1] in CONTAINERS and not value.args
    if empty:
        yield "a container at module level that fills up while the program runs"


def _imported_names(module: Module) -> set[str]:
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return found


def test_no_file_does_what_is_banned():
    assert violations(modules("app.py", "ui", "engine")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from torch import load",
        "import torch\ntorch.load(f)",
        "read = torch.load",
        "eval('1')",
        "exec(code)",
        "print('hello')",
        "import sys\nsys.stdout.write('hello')",
        "AutoModel.from_pretrained(p, trust_remote_code=True)",
        "model.load_state_dict(d, strict=False)",
        "subprocess.run(c, shell=True)",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept Exception:\n    log()",
        "try:\n    f()\nexcept (OSError, BaseException) as error:\n    x = error",
        "def f():\n    global x\n    x = 1",
        "import gradio as gr\ngr.Blocks.launch = mine",
        "from torch import nn\nnn.Linear.forward = mine",
        "import torch\nsetattr(torch.nn, 'Linear', Mine)",
        "from functools import cache\n@cache\ndef f(): ...",
        "import functools\n@functools.lru_cache(maxsize=4)\ndef f(): ...",
        "KNOWN = {}",
        "seen: list[str] = []",
        "seen = set()",
        "x = 1  # " + "TO" + "DO: later",
    ],
)
def test_what_is_banned_is_found(text):
    assert len(violations([source(text)])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import re\nP = re.compile('a')",
        "for a, b in zip(x, y, strict=False): ...",
        "try:\n    f()\nexcept Exception as error:\n    raise Failed from error",
        "try:\n    f()\nexcept (OSError, ValueError):\n    x = None",
        "import torch\ntorch.backends.cuda.matmul.allow_tf32 = True",
        "class A:\n    def f(self):\n        self.seen = {}",
        "SIZES = {'small': 1}",
        "model.eval()",
    ],
)
def test_what_is_allowed_passes(text):
    assert violations([source(text)]) == []


def test_the_terminal_is_written_to_at_the_doors():
    text = "import sys\nsys.stdout.write('hello')"
    assert violations([source(text, "engine.cli")]) == []


def test_no_tracked_file_is_larger_than_twenty_megabytes():
    assert [f for f in tracked_files() if f.stat().st_size > LARGEST_FILE] == []


def test_no_tracked_file_names_a_home_folder():
    named = [
        str(file.relative_to(ROOT)) for file in tracked_files() if home_folders(file.read_bytes())
    ]
    assert named == []


def home_folders(content: bytes) -> list[bytes]:
    """The home folders that a text names; bytes with a NUL are no text."""
    return [] if b"\0" in content else [match[0] for match in HOME_FOLDERS.finditer(content)]


@pytest.mark.parametrize("folder", ["C:\\Users\\", *(f"/{n}/" for n in ("home", "Users", "root"))])
def test_a_home_folder_is_found(folder):
    assert home_folders(b"see " + folder.encode() + b"ada/models")


def test_tracked_files_are_seen():
    if not (ROOT / ".git").exists():
        pytest.skip("this tree came without its history")
    assert len(tracked_files()) >= 80
