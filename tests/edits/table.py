"""The edits: what was there, what it becomes, and whether the step runs again.

To add one: copy a row, change the two texts, say `RUN` or `REUSE`. `own` rows edit definitions in the step's own file,
`helper` rows a file that it imports; `row` spells out all files.
"""

from __future__ import annotations

from tests.edits.row import REUSE, RUN, flow, helper, own, row

BUCKET = """
LIMIT = 10

def bucket(x):
    return x // LIMIT
"""

# ------------------------------------------------------------------------------------------- what says nothing new

COSMETIC = [
    own("a comment", "def use(x):\n    return x + 1", "# why\ndef use(x):\n    # here\n    return x + 1", REUSE),
    own(
        "formatting",
        "def use(x):\n    return f(x, 1)\ndef f(x, y): return x + y",
        "def use(x):\n    return f(\n        x,\n        1,\n    )\n\n\ndef f(x, y):\n    return (x + y)",
        REUSE,
    ),
    own("a docstring", "def use(x):\n    return x", 'def use(x):\n    """Say."""\n    return x', REUSE),
    own(
        "a docstring of a class",
        "class A:\n    def go(self, x): return x\ndef use(x): return A().go(x)",
        'class A:\n    """An A."""\n    def go(self, x):\n        """Go."""\n        return x\ndef use(x): return A().go(x)',
        REUSE,
    ),
    own("a body that is only a docstring", 'def use(x):\n    """Say."""', "def use(x):\n    pass", REUSE),
    own("a module docstring", "def use(x): return x", '"""Doc."""\ndef use(x): return x', REUSE),
    own(
        "a local variable is renamed",
        "def use(x):\n    y = x + 1\n    return [y + i for i in range(3)]",
        "def use(x):\n    total = x + 1\n    return [total + k for k in range(3)]",
        REUSE,
    ),
    own(
        "local variables are exchanged",
        "def use(x):\n    a = x\n    b = 2\n    return a - b",
        "def use(x):\n    a = x\n    b = 2\n    return b - a",
        RUN,
    ),
    own(
        "a local variable that locals() shows is renamed",
        "def use(x):\n    a = 1\n    return sorted(locals())",
        "def use(x):\n    b = 1\n    return sorted(locals())",
        RUN,
    ),
    own(
        "a local annotation", "def use(x):\n    y = x\n    return y", "def use(x):\n    y: int = x\n    return y", REUSE
    ),
    own("an annotation of a helper", "def use(x):\n    return x", "def use(x: int) -> int:\n    return x", REUSE),
    own(
        "postponed annotations",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 1\ndef use(x): return A(x).n",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: 'int' = 1\ndef use(x): return A(x).n",
        REUSE,
    ),
    own("a pass", "def use(x):\n    return x", "def use(x):\n    pass\n    return x", REUSE),
    own("quotes", "def use(x):\n    return 'a'", 'def use(x):\n    return "a"', REUSE),
    own("a raw string that is another text", r"def use(x): return '\n'", r"def use(x): return r'\n'", RUN),
    own("a number in another base", "def use(x): return 255 + x", "def use(x): return 0xff + x", REUSE),
    own("1 becomes 1.0", "def use(x): return x * 1", "def use(x): return x * 1.0", RUN),
    own("1 becomes True", "def use(x): return [1, x]", "def use(x): return [True, x]", RUN),
    own("an unrelated function", "def use(x): return x", "def use(x): return x\ndef other(x): return 5", REUSE),
    own(
        "an unrelated function is edited",
        "def other(x): return 4\ndef use(x): return x",
        "def other(x): return 5\ndef use(x): return x",
        REUSE,
    ),
    own("an unrelated constant", "N = 4\ndef use(x): return x", "N = 5\ndef use(x): return x", REUSE),
    own("an unrelated class", "class A: n = 1\ndef use(x): return x", "class A: n = 2\ndef use(x): return x", REUSE),
    own(
        "the order of definitions",
        "N = 4\ndef f(x): return x + N\ndef use(x): return f(x)",
        "def use(x): return f(x)\ndef f(x): return x + N\nN = 4",
        REUSE,
    ),
    own(
        "a helper is renamed",
        "def f(x): return x + 1\ndef use(x): return f(x)",
        "def add(x): return x + 1\ndef use(x): return add(x)",
        REUSE,
    ),
    own("a constant is renamed", "N = 4\ndef use(x): return x + N", "M = 4\ndef use(x): return x + M", REUSE),
    own("a literal gets a name", "def use(x): return x + 4", "FOUR = 4\ndef use(x): return x + FOUR", REUSE),
    own("a negative literal gets a name", "def use(x): return x + -4", "N = -4\ndef use(x): return x + N", REUSE),
    own(
        "a global becomes two equal ones",
        "A = 2\ndef use(x): return x * A + A",
        "A = 2\nB = 2\ndef use(x): return x * A + B",
        REUSE,
    ),
    own("a print at import", "def use(x): return x", "print('hello')\ndef use(x): return x", REUSE),
    own(
        "logging at import",
        "import logging\ndef use(x): return x",
        "import logging\nlogging.basicConfig(level=10)\nlog = logging.getLogger(__name__)\ndef use(x): return x",
        REUSE,
    ),
    own(
        "the order of methods",
        "class A:\n    def f(self): return 1\n    def g(self): return self.f()\ndef use(x): return A().g()",
        "class A:\n    def g(self): return self.f()\n    def f(self): return 1\ndef use(x): return A().g()",
        REUSE,
    ),
    own(
        "what runs only as a script",
        "def use(x): return x",
        "def use(x): return x\nif __name__ == '__main__':\n    print(use(4))",
        REUSE,
    ),
    row(
        "nothing but other bytes on disk",
        {"flow.py": flow("from features import bucket", "return bucket(x)"), "features.py": BUCKET},
        {},
        REUSE,
        touched=True,
    ),
    row(
        "the project lies elsewhere",
        {"flow.py": flow("from features import bucket", "return bucket(x)"), "features.py": BUCKET},
        {},
        REUSE,
        moved=True,
    ),
    row("an option of the step", {"flow.py": flow()}, {"flow.py": flow().replace("@step", "@step(retry=3)")}, REUSE),
    row("the pipeline", {"flow.py": flow()}, {"flow.py": flow().replace("x: int = 3", "x: int = 4")}, REUSE),
    row(
        "another step",
        {"flow.py": flow(more="@step\ndef other(x: int): return 1")},
        {"flow.py": flow(more="@step\ndef other(x: int): return 2")},
        {"work": REUSE, "other": RUN},
    ),
    row(
        "the step's own body",
        {"flow.py": flow(more="@step\ndef other(x: int): return 1")},
        {"flow.py": flow(body="return x + 1", more="@step\ndef other(x: int): return 1")},
        {"work": RUN, "other": REUSE},
    ),
    row("a new file", {"flow.py": flow()}, {"other.py": "N = 1"}, REUSE),
    row(
        "run as a script",
        {"flow.py": flow(body="return use(x)", more="N = 2\ndef use(x): return x + N")},
        {},
        REUSE,
        as_script=True,
    ),
]

# ------------------------------------------------------------------------------------------------------ functions

FUNCTIONS = [
    own("a helper", "def use(x): return x + 1", "def use(x): return x + 2", RUN),
    own(
        "a helper of a helper",
        "def f(x): return x + 1\ndef use(x): return f(x)",
        "def f(x): return x + 2\ndef use(x): return f(x)",
        RUN,
    ),
    helper("from features import bucket", "bucket(x)", BUCKET, BUCKET.replace("//", "%"), RUN, "a helper elsewhere"),
    helper("from features import bucket", "bucket(x)", BUCKET, BUCKET.replace("10", "20"), RUN, "its constant"),
    helper("import features", "features.bucket(x)", BUCKET, BUCKET.replace("10", "20"), RUN, "through the module"),
    helper("import features as ft", "ft.LIMIT + x", BUCKET, BUCKET.replace("10", "20"), RUN, "a constant by module"),
    helper(
        "from features import bucket",
        "bucket(x)",
        BUCKET,
        BUCKET + "\ndef other(): return 1\n",
        REUSE,
        "an unrelated helper elsewhere",
    ),
    own(
        "recursion",
        "def use(x): return 1 if x < 2 else x * use(x - 1)",
        "def use(x): return 1 if x < 3 else x * use(x - 1)",
        RUN,
    ),
    own(
        "mutual recursion",
        "def use(x): return x if x < 1 else f(x - 1)\ndef f(x): return use(x - 1)",
        "def use(x): return x if x < 1 else f(x - 1)\ndef f(x): return use(x - 2)",
        RUN,
    ),
    own(
        "mutual recursion is renamed",
        "def use(x): return x if x < 1 else f(x - 1)\ndef f(x): return use(x - 1)",
        "def g(x): return use(x - 1)\ndef use(x): return x if x < 1 else g(x - 1)",
        REUSE,
    ),
    own(
        "two helpers exchange their calls",
        "def f(x): return x + 1\ndef g(x): return x * 2\ndef use(x): return f(x) - g(x)",
        "def f(x): return x + 1\ndef g(x): return x * 2\ndef use(x): return g(x) - f(x)",
        RUN,
    ),
    own("a default", "def use(x, n=1): return x + n", "def use(x, n=2): return x + n", RUN),
    own(
        "a default that is a name", "N = 1\ndef use(x, n=N): return x + n", "N = 2\ndef use(x, n=N): return x + n", RUN
    ),
    own("a default of a keyword", "def use(x, *, n=1): return x + n", "def use(x, *, n=2): return x + n", RUN),
    own(
        "a default that is changed in place",
        "def use(x, seen=[]):\n    seen.append(x)\n    return len(seen)",
        "def use(x, seen=[0]):\n    seen.append(x)\n    return len(seen)",
        RUN,
    ),
    own(
        "a parameter's name",
        "def f(**k): return sorted(k)\ndef use(x, a=1): return f(a=a)",
        "def f(**k): return sorted(k)\ndef use(x, b=1): return f(b=b)",
        RUN,
    ),
    own(
        "a closure's value",
        "def make(n):\n    def inner(x): return x + n\n    return inner\nuse = make(1)",
        "def make(n):\n    def inner(x): return x + n\n    return inner\nuse = make(2)",
        RUN,
    ),
    own(
        "a closure's function",
        "def one(x): return 1\ndef make(f):\n    def inner(x): return f(x)\n    return inner\nuse = make(one)",
        "def one(x): return 2\ndef make(f):\n    def inner(x): return f(x)\n    return inner\nuse = make(one)",
        RUN,
    ),
    own(
        "a closure over an object",
        "class A:\n    def __init__(self, n): self.n = n\n"
        "def make(a):\n    def inner(x): return x + a.n\n    return inner\nuse = make(A(1))",
        "class A:\n    def __init__(self, n): self.n = n\n"
        "def make(a):\n    def inner(x): return x + a.n\n    return inner\nuse = make(A(2))",
        RUN,
    ),
    own(
        "a nested function",
        "def use(x):\n    def inner(y): return y + 1\n    return inner(x)",
        "def use(x):\n    def inner(y): return y + 2\n    return inner(x)",
        RUN,
    ),
    own(
        "a partial's argument",
        "from functools import partial\ndef f(a, x): return a + x\nuse = partial(f, 1)",
        "from functools import partial\ndef f(a, x): return a + x\nuse = partial(f, 2)",
        RUN,
    ),
    own(
        "a partial's function",
        "from functools import partial\ndef f(a, x): return a + x\nuse = partial(f, 1)",
        "from functools import partial\ndef f(a, x): return a - x\nuse = partial(f, 1)",
        RUN,
    ),
    own("a lambda", "use = lambda x: x + 1", "use = lambda x: x + 2", RUN),
    own(
        "one of two lambdas on a line: ours",
        "use, other = lambda x: x + 1, lambda x: x + 5",
        "use, other = lambda x: x + 2, lambda x: x + 5",
        RUN,
    ),
    own(
        "one of two lambdas on a line: the other",
        "use, other = lambda x: x + 1, lambda x: x + 5",
        "use, other = lambda x: x + 1, lambda x: x + 6",
        REUSE,
    ),
    own(
        "a lambda as a sort key",
        "def use(x): return sorted([x, 1], key=lambda v: -v)",
        "def use(x): return sorted([x, 1], key=lambda v: v)",
        RUN,
    ),
    own(
        "a comprehension's helper",
        "def f(x): return x\ndef use(x): return [f(i) for i in range(x) if f(i)]",
        "def f(x): return x + 1\ndef use(x): return [f(i) for i in range(x) if f(i)]",
        RUN,
    ),
    own(
        "a generator",
        "def gen(n):\n    for i in range(n):\n        yield i\ndef use(x): return list(gen(x))",
        "def gen(n):\n    for i in range(n):\n        yield i + 1\ndef use(x): return list(gen(x))",
        RUN,
    ),
    own(
        "an async helper",
        "import asyncio\nasync def f(x): return x\ndef use(x): return asyncio.run(f(x))",
        "import asyncio\nasync def f(x): return x + 1\ndef use(x): return asyncio.run(f(x))",
        RUN,
    ),
    own("an f-string", "def use(x): return f'{x:>4}'", "def use(x): return f'{x:>5}'", RUN),
    own(
        "text to be formatted",
        "FORM = 'x={}'\ndef use(x): return FORM.format(x)",
        "FORM = 'y={}'\ndef use(x): return FORM.format(x)",
        RUN,
    ),
    own(
        "a match statement",
        "def use(x):\n    match x:\n        case 3: return 'three'\n        case _: return 'no'",
        "def use(x):\n    match x:\n        case 4: return 'three'\n        case _: return 'no'",
        RUN,
    ),
    own("a walrus", "def use(x): return y + 1 if (y := x) else 0", "def use(x): return y + 2 if (y := x) else 0", RUN),
    own(
        "an assertion",
        "def use(x):\n    assert x > 1\n    return x",
        "def use(x):\n    assert x > 2\n    return x",
        RUN,
    ),
    own(
        "a try",
        "def use(x):\n    try: return 1 // x\n    except ZeroDivisionError: return 0",
        "def use(x):\n    try: return 1 // x\n    except ArithmeticError: return 0",
        RUN,
    ),
    own(
        "a global statement of a helper",
        "N = 1\ndef use(x):\n    global N\n    N = x\n    return N",
        "N = 1\ndef use(x):\n    global N\n    N = x + 1\n    return N",
        RUN,
    ),
    own(
        "an attribute by name",
        "import operator\nclass A:\n    a = 1\n    b = 2\nget = operator.attrgetter('a')\ndef use(x): return get(A)",
        "import operator\nclass A:\n    a = 1\n    b = 2\nget = operator.attrgetter('b')\ndef use(x): return get(A)",
        RUN,
    ),
    own(
        "a method by name",
        "import operator\nget = operator.methodcaller('upper')\ndef use(x): return get('aB')",
        "import operator\nget = operator.methodcaller('lower')\ndef use(x): return get('aB')",
        RUN,
    ),
    own(
        "an attribute of a function",
        "def use(x): return x + use.n\nuse.n = 1",
        "def use(x): return x + use.n\nuse.n = 2",
        RUN,
    ),
    own(
        "a function is passed on under another name",
        "def f(x): return x\ndef call(g, x): return g.__name__\ndef use(x): return call(f, x)",
        "def h(x): return x\ndef call(g, x): return g.__name__\ndef use(x): return call(h, x)",
        RUN,
    ),
    own(
        "a docstring that is read",
        'def f():\n    """one"""\ndef use(x): return f.__doc__',
        'def f():\n    """two"""\ndef use(x): return f.__doc__',
        RUN,
    ),
    row(
        "the module's docstring that is read",
        {"flow.py": '"""One."""\n' + flow(body="return __doc__")},
        {"flow.py": '"""Two."""\n' + flow(body="return __doc__")},
        RUN,
    ),
    own(
        "an annotation that is read",
        "import typing\ndef f(a: int): ...\ndef use(x): return str(typing.get_type_hints(f))",
        "import typing\ndef f(a: str): ...\ndef use(x): return str(typing.get_type_hints(f))",
        RUN,
    ),
    own(
        "a signature that is read",
        "import inspect\ndef f(a: int): ...\ndef use(x): return str(inspect.signature(f))",
        "import inspect\ndef f(a: str): ...\ndef use(x): return str(inspect.signature(f))",
        RUN,
    ),
]

# ----------------------------------------------------------------------------------------------------- decorators

TWICE = """
    import functools

    def twice(f):
        @functools.wraps(f)
        def wrapper(*a, **k):
            return 2 * f(*a, **k)
        return wrapper

    @twice
    def use(x): return x + 1
"""
REGISTRY = """
    RULES = {}

    def rule(f):
        RULES[f.__name__] = f
        return f

    @rule
    def one(x): return x + 1

    def use(x): return RULES["one"](x)
"""
DISPATCH = """
    from functools import singledispatch

    @singledispatch
    def use(x): return "other"

    @use.register
    def _(x: int): return x + 1
"""

DECORATORS = [
    own("a decorator", TWICE, TWICE.replace("2 *", "3 *"), RUN),
    own("what it decorates", TWICE, TWICE.replace("x + 1", "x + 2"), RUN),
    own(
        "a decorator that does not wrap",
        TWICE.replace("@functools.wraps(f)", ""),
        TWICE.replace("@functools.wraps(f)", "").replace("x + 1", "x + 2"),
        RUN,
    ),
    own(
        "a decorator's argument",
        "def times(n):\n    def deco(f): return lambda x: n * f(x)\n    return deco\n@times(2)\ndef use(x): return x",
        "def times(n):\n    def deco(f): return lambda x: n * f(x)\n    return deco\n@times(3)\ndef use(x): return x",
        RUN,
    ),
    own(
        "a decorator that is a class",
        "class Add:\n    def __init__(self, f): self.f = f\n    def __call__(self, x): return self.f(x) + 1\n@Add\ndef use(x): return x",
        "class Add:\n    def __init__(self, f): self.f = f\n    def __call__(self, x): return self.f(x) + 2\n@Add\ndef use(x): return x",
        RUN,
    ),
    own(
        "what a class decorates",
        "class Add:\n    def __init__(self, f): self.f = f\n    def __call__(self, x): return self.f(x) + 1\n@Add\ndef use(x): return x",
        "class Add:\n    def __init__(self, f): self.f = f\n    def __call__(self, x): return self.f(x) + 1\n@Add\ndef use(x): return -x",
        RUN,
    ),
    own(
        "what a cache holds",
        "from functools import lru_cache\n@lru_cache(maxsize=4)\ndef use(x): return x + 1",
        "from functools import lru_cache\n@lru_cache(maxsize=4)\ndef use(x): return x + 2",
        RUN,
    ),
    own(
        "a context manager",
        "from contextlib import contextmanager\n@contextmanager\ndef at(n): yield n\ndef use(x):\n    with at(x) as y: return y",
        "from contextlib import contextmanager\n@contextmanager\ndef at(n): yield n + 1\ndef use(x):\n    with at(x) as y: return y",
        RUN,
    ),
    own("what a registry holds", REGISTRY, REGISTRY.replace("x + 1", "x + 2"), RUN),
    own("a registry gets more", REGISTRY, REGISTRY + "\n    @rule\n    def two(x): return 2\n", RUN),
    own("a case of a dispatch", DISPATCH, DISPATCH.replace("x + 1", "x + 2"), RUN),
    own("the type of a case", DISPATCH, DISPATCH.replace("x: int", "x: str"), RUN),
    own(
        "a decorator that decorates nothing",
        "def deco(f): return f\ndef use(x): return x",
        "def deco(f): return None\ndef use(x): return x",
        REUSE,
    ),
]
DECORATORS += [
    row(
        "a decorator below @step",
        {"flow.py": flow(more=TWICE).replace("@step", "@step\n@twice")},
        {"flow.py": flow(more=TWICE.replace("2 *", "3 *")).replace("@step", "@step\n@twice")},
        RUN,
    ),
    row(
        "the step's body below a decorator",
        {"flow.py": flow(more=TWICE).replace("@step", "@step\n@twice")},
        {"flow.py": flow(body="return -x", more=TWICE).replace("@step", "@step\n@twice")},
        RUN,
    ),
]

# -------------------------------------------------------------------------------------------------------- classes

SHAPES = """
    class Shape:
        sides = 0
        def area(self, x): return x
        def name(self): return type(self).__name__

    class Square(Shape):
        sides = 4
        def __init__(self, k): self.k = k
        def area(self, x): return super().area(x) * self.k
        @property
        def double(self): return self.k * 2
        @staticmethod
        def unit(): return 1
        @classmethod
        def make(cls, k): return cls(k)

    def use(x):
        s = Square.make(2)
        return s.area(x) + s.double + s.unit() + s.sides
"""
DATA = """
    from dataclasses import dataclass, field

    @dataclass(frozen=True)
    class Trees:
        depth: int = 3
        seed: int = 0

    def use(x): return repr(Trees(x))
"""
COLOUR = """
    import enum

    class Colour(enum.Enum):
        RED = 1
        BLUE = 2

    def use(x): return Colour.RED.value + x
"""
HOOKED = """
    KINDS = {}

    class Base:
        def __init_subclass__(cls, **k):
            KINDS[cls.__name__] = cls

    class One(Base):
        def go(self, x): return x + 1

    def use(x): return KINDS["One"]().go(x)
"""
META = """
    class Meta(type):
        def __new__(meta, name, bases, body):
            body["extra"] = 1
            return super().__new__(meta, name, bases, body)

    class A(metaclass=Meta): pass

    def use(x): return A.extra + x
"""

CLASSES = [
    own("a method", SHAPES, SHAPES.replace("* self.k\n", "+ self.k\n"), RUN),
    own("an inherited method", SHAPES, SHAPES.replace("return x\n", "return x + 1\n"), RUN),
    own(
        "a method of the class that nothing calls",
        SHAPES,
        SHAPES.replace("return type(self).__name__", "return 'x'"),
        RUN,
    ),
    own("a property", SHAPES, SHAPES.replace("self.k * 2", "self.k * 3"), RUN),
    own("a static method", SHAPES, SHAPES.replace("return 1", "return 2"), RUN),
    own("a class method", SHAPES, SHAPES.replace("return cls(k)", "return cls(k + 1)"), RUN),
    own("a class attribute", SHAPES, SHAPES.replace("sides = 4", "sides = 5"), RUN),
    own("an inherited attribute", SHAPES, SHAPES.replace("sides = 0", "sides = 1"), RUN),
    own("a base class", SHAPES, SHAPES.replace("class Shape:", "class Shape(dict):"), RUN),
    own("the name of a class", DATA, DATA.replace("Trees", "Forest"), RUN),
    own("a field's default", DATA, DATA.replace("depth: int = 3", "depth: int = 4"), RUN),
    own("a field's type", DATA, DATA.replace("depth: int", "depth: float"), RUN),
    own("a new field", DATA, DATA.replace("seed: int = 0", "seed: int = 0\n        more: int = 1"), RUN),
    own(
        "the order of fields",
        DATA,
        DATA.replace("depth: int = 3\n        seed: int = 0", "seed: int = 0\n        depth: int = 3"),
        RUN,
    ),
    own("an option of a dataclass", DATA, DATA.replace("frozen=True", "frozen=True, repr=False"), RUN),
    own("a member's value", COLOUR, COLOUR.replace("RED = 1", "RED = 3"), RUN),
    own("a new member", COLOUR, COLOUR.replace("BLUE = 2", "BLUE = 2\n        GREEN = 3"), RUN),
    own(
        "what a hook of the base does",
        HOOKED,
        HOOKED.replace("= cls\n", "= cls\n            cls.go = lambda self, x: -x\n"),
        RUN,
    ),
    own("what a base's registry holds", HOOKED, HOOKED.replace("x + 1", "x + 2"), RUN),
    own("a metaclass", META, META.replace('body["extra"] = 1', 'body["extra"] = 2'), RUN),
    own(
        "a slot",
        "class A:\n    __slots__ = ('a',)\ndef use(x): return A.__slots__",
        "class A:\n    __slots__ = ('a', 'b')\ndef use(x): return A.__slots__",
        RUN,
    ),
    own(
        "a named tuple's field",
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\ndef use(x): return P(1, 2)._fields",
        "from collections import namedtuple\nP = namedtuple('P', 'a c')\ndef use(x): return P(1, 2)._fields",
        RUN,
    ),
    own(
        "a typed named tuple",
        "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int = 1\ndef use(x): return P().a",
        "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int = 2\ndef use(x): return P().a",
        RUN,
    ),
    own(
        "a cached property",
        "from functools import cached_property\nclass A:\n    @cached_property\n    def n(self): return 1\ndef use(x): return A().n",
        "from functools import cached_property\nclass A:\n    @cached_property\n    def n(self): return 2\ndef use(x): return A().n",
        RUN,
    ),
    own(
        "a setter",
        "class A:\n    @property\n    def n(self): return self._n\n    @n.setter\n    def n(self, v): self._n = v\ndef use(x):\n    a = A()\n    a.n = x\n    return a.n",
        "class A:\n    @property\n    def n(self): return self._n\n    @n.setter\n    def n(self, v): self._n = v + 1\ndef use(x):\n    a = A()\n    a.n = x\n    return a.n",
        RUN,
    ),
    own(
        "a counter on a class",
        "class A:\n    count = 0\n    def go(self):\n        A.count += 1\n        return 1\ndef use(x): return A().go()",
        "class A:\n    count = 5\n    def go(self):\n        A.count += 1\n        return 1\ndef use(x): return A().go()",
        RUN,
    ),
    own(
        "an instance's class",
        "class A:\n    def go(self, x): return x + 1\nTHE = A()\ndef use(x): return THE.go(x)",
        "class A:\n    def go(self, x): return x + 2\nTHE = A()\ndef use(x): return THE.go(x)",
        RUN,
    ),
    own(
        "an instance's arguments",
        "class A:\n    def __init__(self, n): self.n = n\nTHE = A(1)\ndef use(x): return THE.n",
        "class A:\n    def __init__(self, n): self.n = n\nTHE = A(2)\ndef use(x): return THE.n",
        RUN,
    ),
    own(
        "a method that is passed on",
        "class A:\n    def go(self, x): return self.inner(x)\n    def inner(self, x): return x\nuse = A().go",
        "class A:\n    def go(self, x): return self.inner(x)\n    def inner(self, x): return -x\nuse = A().go",
        RUN,
    ),
    own(
        "an exception's class",
        "class Bad(Exception):\n    code = 1\ndef use(x):\n    try: raise Bad\n    except Bad as e: return e.code",
        "class Bad(Exception):\n    code = 2\ndef use(x):\n    try: raise Bad\n    except Bad as e: return e.code",
        RUN,
    ),
    own(
        "a generic's base",
        "class A: n = 1\nclass B: n = 2\nclass C(A): pass\ndef use(x): return C.n",
        "class A: n = 1\nclass B: n = 2\nclass C(B): pass\ndef use(x): return C.n",
        RUN,
    ),
    row(
        "a class that the step takes",
        {
            "flow.py": flow("from shapes import S").replace("x: int)", "x: int, s: S = None)"),
            "shapes.py": "class S:\n    def area(self): return 1",
        },
        {"shapes.py": "class S:\n    def area(self): return 2"},
        RUN,
    ),
    row(
        "a type that says nothing",
        {"flow.py": flow()},
        {"flow.py": flow().replace("work(x: int)", "work(x: float)")},
        REUSE,
    ),
    row(
        "the step's result type",
        {"flow.py": flow("from headwater import Dir, File").replace("work(x: int)", "work(x: int) -> File")},
        {"flow.py": flow("from headwater import Dir, File").replace("work(x: int)", "work(x: int) -> Dir")},
        RUN,
    ),
]

# ---------------------------------------------------------------------------------------------------------- names

NAMES = [
    own("a constant", "N = 1\ndef use(x): return x + N", "N = 2\ndef use(x): return x + N", RUN),
    own(
        "a constant written otherwise",
        "N = 60 * 60\ndef use(x): return x + N",
        "N = 3600\ndef use(x): return x + N",
        REUSE,
    ),
    own(
        "a constant of constants",
        "A = 2\nB = A + 1\ndef use(x): return x + B",
        "A = 3\nB = A + 1\ndef use(x): return x + B",
        RUN,
    ),
    own(
        "a table",
        "T = {'a': [1, 2], 'b': (3, {4, 5})}\ndef use(x): return T['b']",
        "T = {'a': [1, 2], 'b': (3, {4, 6})}\ndef use(x): return T['b']",
        RUN,
    ),
    own(
        "a table that is filled at import",
        "T = {}\nT['a'] = 1\ndef use(x): return T['a']",
        "T = {}\nT['a'] = 2\ndef use(x): return T['a']",
        RUN,
    ),
    own(
        "a table of functions",
        "def f(x): return 1\nT = {'f': f}\ndef use(x): return T['f'](x)",
        "def f(x): return 2\nT = {'f': f}\ndef use(x): return T['f'](x)",
        RUN,
    ),
    own(
        "a table of lambdas",
        "T = {'f': lambda x: 1}\ndef use(x): return T['f'](x)",
        "T = {'f': lambda x: 2}\ndef use(x): return T['f'](x)",
        RUN,
    ),
    own(
        "a pattern",
        "import re\nP = re.compile('a+')\ndef use(x): return P.findall('aab')",
        "import re\nP = re.compile('b+')\ndef use(x): return P.findall('aab')",
        RUN,
    ),
    own(
        "a path",
        "from pathlib import Path\nP = Path('a')\ndef use(x): return P.name",
        "from pathlib import Path\nP = Path('b')\ndef use(x): return P.name",
        RUN,
    ),
    own(
        "a date",
        "from datetime import date\nD = date(2026, 1, 1)\ndef use(x): return D.year",
        "from datetime import date\nD = date(2027, 1, 1)\ndef use(x): return D.year",
        RUN,
    ),
    own(
        "a constant in a branch",
        "import sys\nif sys.maxsize > 1:\n    N = 1\nelse:\n    N = 5\ndef use(x): return N",
        "import sys\nif sys.maxsize > 1:\n    N = 2\nelse:\n    N = 5\ndef use(x): return N",
        RUN,
    ),
    own(
        "the branch not taken",
        "import sys\nif sys.maxsize > 1:\n    N = 1\nelse:\n    N = 5\ndef use(x): return N",
        "import sys\nif sys.maxsize > 1:\n    N = 1\nelse:\n    N = 6\ndef use(x): return N",
        REUSE,
    ),
    own(
        "a conditional function",
        "import sys\nif sys.maxsize > 1:\n    def use(x): return 1\nelse:\n    def use(x): return 5",
        "import sys\nif sys.maxsize > 1:\n    def use(x): return 2\nelse:\n    def use(x): return 5",
        RUN,
    ),
    own(
        "a conditional function not taken",
        "import sys\nif sys.maxsize > 1:\n    def use(x): return 1\nelse:\n    def use(x): return 5",
        "import sys\nif sys.maxsize > 1:\n    def use(x): return 1\nelse:\n    def use(x): return 6",
        REUSE,
    ),
    own(
        "a memo's start",
        "MEMO = {}\ndef use(x):\n    MEMO[x] = 1\n    return len(MEMO)",
        "MEMO = {0: 1}\ndef use(x):\n    MEMO[x] = 1\n    return len(MEMO)",
        RUN,
    ),
    own(
        "who fills a memo",
        "MEMO = {}\ndef put(x): MEMO[x] = 1\ndef use(x): return MEMO.get(x)",
        "MEMO = {}\ndef put(x): MEMO[x] = 2\ndef use(x): return MEMO.get(x)",
        RUN,
    ),
    own(
        "a counter",
        "N = 0\ndef use(x):\n    global N\n    N += 1\n    return x",
        "N = 7\ndef use(x):\n    global N\n    N += 1\n    return x",
        RUN,
    ),
    own(
        "a type alias",
        "Rows = list[int]\ndef use(x): return Rows([x])",
        "Rows = tuple[int]\ndef use(x): return Rows([x])",
        RUN,
    ),
    own(
        "a name that is bound twice",
        "N = 1\nN = N + 1\ndef use(x): return N",
        "N = 1\nN = N + 2\ndef use(x): return N",
        RUN,
    ),
    own(
        "a loop that binds",
        "for N in range(3): pass\ndef use(x): return N",
        "for N in range(4): pass\ndef use(x): return N",
        RUN,
    ),
    own("unpacking", "A, B = 1, 2\ndef use(x): return A", "A, B = 3, 2\ndef use(x): return A", RUN),
    own("the other half of unpacking", "A, B = 1, 2\ndef use(x): return A", "A, B = 1, 3\ndef use(x): return A", REUSE),
    own(
        "an environment variable",
        "import os\nN = os.environ.get('FLOW_N', '1')\ndef use(x): return N",
        "import os\nN = os.environ.get('FLOW_N', '1')\ndef use(x): return N",
        RUN,
        env={"FLOW_N": "1"},
        env_after={"FLOW_N": "2"},
    ),
    own(
        "another environment variable",
        "import os\nN = os.environ.get('FLOW_N', '1')\ndef use(x): return N",
        "import os\nN = os.environ.get('FLOW_N', '1')\ndef use(x): return N",
        REUSE,
        env={"FLOW_N": "1", "FLOW_M": "1"},
        env_after={"FLOW_N": "1", "FLOW_M": "2"},
    ),
    own(
        "an environment variable in an object",
        "import os\nclass A:\n    def __init__(self, n): self.n = n\nTHE = A(os.environ['FLOW_N'])\ndef use(x): return THE.n",
        "import os\nclass A:\n    def __init__(self, n): self.n = n\nTHE = A(os.environ['FLOW_N'])\ndef use(x): return THE.n",
        RUN,
        env={"FLOW_N": "1"},
        env_after={"FLOW_N": "2"},
    ),
    own(
        "a clock",
        "import time\nSTART = time.time()\ndef use(x): return START * 0 + x",
        "import time\nSTART = time.time()\ndef use(x): return START * 0 + x",
        REUSE,
    ),
    own(
        "a clock through a helper",
        "import time\ndef now(): return time.time()\nSTART = now()\ndef use(x): return START",
        "import time\ndef now(): return time.time()\nSTART = now()\ndef use(x): return START",
        REUSE,
    ),
    own(
        "a random number",
        "import uuid\nID = str(uuid.uuid4())\ndef use(x): return len(ID)",
        "import uuid\nID = str(uuid.uuid4())\ndef use(x): return len(ID)",
        REUSE,
    ),
    row(
        "the project's path in a constant",
        {
            "flow.py": flow(
                "from pathlib import Path",
                "return HERE.name and x",
                more="HERE = Path(__file__).parent\nTEXT = str(HERE)",
            )
        },
        {},
        REUSE,
        moved=True,
    ),
    row(
        "the project's path in a text",
        {
            "flow.py": flow(
                "import os", "return len(HERE) * 0 + x", more="HERE = os.path.dirname(os.path.abspath(__file__))"
            )
        },
        {},
        REUSE,
        moved=True,
    ),
    row(
        "a table that is read at import",
        {
            "flow.py": flow(
                "import json\nfrom pathlib import Path",
                "return T['a']",
                more="T = json.loads((Path(__file__).parent / 't.json').read_text())",
            ),
            "t.json": '{"a": 1}',
        },
        {"t.json": '{"a": 2}'},
        RUN,
    ),
    row(
        "a file that an object is made from",
        {
            "flow.py": flow(
                "from pathlib import Path",
                "return THE.text",
                more="class A:\n    def __init__(self, p): self.text = p.read_text()\nTHE = A(Path(__file__).parent / 't.txt')",
            ),
            "t.txt": "one",
        },
        {"t.txt": "two"},
        RUN,
    ),
    own("a name that the module gives itself", "def use(x): return __name__", "def use(x): return __name__ * 2", RUN),
    own(
        "globals()",
        "N = 1\ndef use(x): return globals()['N']",
        "N = 2\ndef use(x): return globals()['N']",
        RUN,
        wide=True,
    ),
    own(
        "eval",
        "def f(x): return 1\ndef use(x): return eval('f(x)')",
        "def f(x): return 2\ndef use(x): return eval('f(x)')",
        RUN,
        wide=True,
    ),
    own("a function made by exec", "exec('def use(x): return 1')", "exec('def use(x): return 2')", RUN, wide=True),
]

# -------------------------------------------------------------------------------------------------------- modules

STEP = flow("from features import bucket", "return bucket(x)")
PACKAGE = {
    "flow.py": flow("from pkg import area", "return area(x)"),
    "pkg/__init__.py": "from .shapes import area\nfrom . import other\n",
    "pkg/shapes.py": "from .deep.consts import PI\n\ndef area(x): return x * PI\n",
    "pkg/other.py": "N = 1\n",
    "pkg/deep/__init__.py": "",
    "pkg/deep/consts.py": "PI = 3\n",
}
LAZY = """
    def __getattr__(name):
        if name == "N":
            return 1
        raise AttributeError(name)
"""

MODULES = [
    row(
        "a helper moves",
        {"flow.py": STEP, "features.py": BUCKET},
        {"flow.py": flow("from places import bucket", "return bucket(x)"), "features.py": None, "places.py": BUCKET},
        REUSE,
    ),
    row(
        "a helper moves here",
        {"flow.py": STEP, "features.py": BUCKET},
        {"flow.py": flow("", "return bucket(x)", more=BUCKET)},
        REUSE,
    ),
    row(
        "import style",
        {"flow.py": STEP, "features.py": BUCKET},
        {"flow.py": flow("import features", "return features.bucket(x)")},
        REUSE,
    ),
    row(
        "an import's alias",
        {"flow.py": STEP, "features.py": BUCKET},
        {"flow.py": flow("from features import bucket as b", "return b(x)")},
        REUSE,
    ),
    row(
        "an import moves inside",
        {"flow.py": STEP, "features.py": BUCKET},
        {"flow.py": flow("", "from features import bucket\nreturn bucket(x)")},
        REUSE,
    ),
    row(
        "style of a foreign import",
        {"flow.py": flow("import os", "return os.path.basename('a/b')")},
        {"flow.py": flow("from os.path import basename", "return basename('a/b')")},
        REUSE,
    ),
    row(
        "an import inside",
        {"flow.py": flow("", "import features\nreturn features.bucket(x)"), "features.py": BUCKET},
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
    ),
    row(
        "an import inside a helper",
        {
            "flow.py": flow("from middle import go", "return go(x)"),
            "middle.py": "def go(x):\n    from features import bucket\n    return bucket(x)",
            "features.py": BUCKET,
        },
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
    ),
    row(
        "an import inside that cannot be done",
        {
            "flow.py": flow("", "try:\n    import broken\nexcept Exception:\n    return 1\nreturn 2"),
            "broken.py": "raise RuntimeError\n",
        },
        {"broken.py": "raise ValueError\n"},
        RUN,
        wide=True,
    ),
    row(
        "an import by name",
        {
            "flow.py": flow("import importlib", "return importlib.import_module('features').bucket(x)"),
            "features.py": BUCKET,
        },
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
        wide=True,
    ),
    row(
        "an import by a computed name",
        {
            "flow.py": flow("import importlib", "return importlib.import_module('feat' + 'ures').bucket(x)"),
            "features.py": BUCKET,
        },
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
        wide=True,
    ),
    row(
        "a comment where all files count",
        {
            "flow.py": flow("import importlib", "return importlib.import_module('feat' + 'ures').bucket(x)"),
            "features.py": BUCKET,
        },
        {"features.py": BUCKET + "# more\n"},
        REUSE,
        wide=True,
    ),
    row(
        "getattr with a known name",
        {"flow.py": flow("import features", "return getattr(features, 'bucket')(x)"), "features.py": BUCKET},
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
    ),
    row(
        "getattr with a known name, something else",
        {"flow.py": flow("import features", "return getattr(features, 'bucket')(x)"), "features.py": BUCKET},
        {"features.py": BUCKET + "\nN = 1\n"},
        REUSE,
    ),
    row(
        "getattr with a computed name",
        {"flow.py": flow("import features", "return getattr(features, 'buck' + 'et')(x)"), "features.py": BUCKET},
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
        wide=True,
    ),
    row(
        "a module that is passed on",
        {
            "flow.py": flow("import features", "return call(features, x)", more="def call(m, x): return m.bucket(x)"),
            "features.py": BUCKET,
        },
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
        wide=True,
    ),
    row(
        "a star import",
        {"flow.py": flow("from features import *", "return bucket(x)"), "features.py": BUCKET},
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
    ),
    row(
        "what a star import hides",
        {"flow.py": flow("from features import *", "return bucket(x)"), "features.py": BUCKET},
        {"features.py": BUCKET + "\nN = 1\n"},
        REUSE,
    ),
    row(
        "__all__",
        {"flow.py": flow("from features import *", "return bucket(x)"), "features.py": BUCKET},
        {"features.py": BUCKET + "\n__all__ = ['bucket']\n"},
        REUSE,
    ),
    row("a package: deep constant", PACKAGE, {"pkg/deep/consts.py": "PI = 4\n"}, RUN),
    row("a package: unrelated module", PACKAGE, {"pkg/other.py": "N = 2\n"}, REUSE),
    row(
        "a package: imported past __init__",
        PACKAGE,
        {"flow.py": flow("from pkg.shapes import area", "return area(x)")},
        REUSE,
    ),
    row(
        "a package: relative becomes absolute",
        PACKAGE,
        {"pkg/shapes.py": "from pkg.deep.consts import PI\n\ndef area(x): return x * PI\n"},
        REUSE,
    ),
    row(
        "a package: by attributes",
        PACKAGE | {"flow.py": flow("import pkg.shapes", "return pkg.shapes.area(x)")},
        {"pkg/deep/consts.py": "PI = 4\n"},
        RUN,
    ),
    row(
        "a package: its __init__ does something",
        PACKAGE,
        {"pkg/__init__.py": "import random\nfrom .shapes import area\nrandom.seed(0)\n"},
        RUN,
    ),
    row(
        "TYPE_CHECKING",
        {
            "flow.py": flow(
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from features import bucket", "return x"
            ),
            "features.py": BUCKET,
        },
        {"features.py": BUCKET.replace("10", "20")},
        REUSE,
    ),
    row(
        "a fallback: the one taken",
        {
            "flow.py": flow(
                "try:\n    from nowhere_at_all import bucket\nexcept ImportError:\n    from features import bucket",
                "return bucket(x)",
            ),
            "features.py": BUCKET,
        },
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
    ),
    row(
        "a fallback: now the other",
        {
            "flow.py": flow(
                "try:\n    from fast import bucket\nexcept ImportError:\n    from features import bucket",
                "return bucket(x)",
            ),
            "features.py": BUCKET,
        },
        {"fast.py": "def bucket(x): return 7"},
        RUN,
    ),
    row(
        "a lazy module",
        {"flow.py": flow("import lazy", "return lazy.N + x"), "lazy.py": LAZY},
        {"lazy.py": LAZY.replace("return 1", "return 2")},
        RUN,
    ),
    row(
        "a lazy name",
        {"flow.py": flow("from lazy import N", "return N + x"), "lazy.py": LAZY},
        {"lazy.py": LAZY.replace("return 1", "return 2")},
        RUN,
    ),
    row(
        "a lazily imported helper",
        {
            "flow.py": flow("import lazy", "return lazy.bucket(x)"),
            "features.py": BUCKET,
            "lazy.py": "def __getattr__(name):\n    import importlib\n    return getattr(importlib.import_module('features'), name)",
        },
        {"features.py": BUCKET.replace("10", "20")},
        RUN,
        wide=True,
    ),
    row(
        "a module's state is set elsewhere",
        {
            "flow.py": flow("import config\nimport setup", "return config.N + x"),
            "config.py": "N = 1\n",
            "setup.py": "import config\nconfig.N = 5\n",
        },
        {"setup.py": "import config\nconfig.N = 6\n"},
        RUN,
    ),
    row(
        "a circle of imports",
        {
            "flow.py": flow("from a import f", "return f(x)"),
            "a.py": "import b\ndef f(x): return b.g(x)\nN = 1\n",
            "b.py": "import a\ndef g(x): return x + a.N\n",
        },
        {"a.py": "import b\ndef f(x): return b.g(x)\nN = 2\n"},
        RUN,
    ),
    row(
        "a module that is no longer used",
        {"flow.py": flow("import features", "return x"), "features.py": BUCKET},
        {"flow.py": flow("", "return x")},
        REUSE,
    ),
]

# -------------------------------------------------------------------------------------------------------- effects

EFFECTS = [
    row(
        "a method is patched at import",
        {
            "flow.py": flow("from shapes import S\nimport patches", "return S().area(x)"),
            "shapes.py": "class S:\n    def area(self, x): return x\n",
            "patches.py": "from shapes import S\ndef area(self, x): return x + 1\nS.area = area\n",
        },
        {"patches.py": "from shapes import S\ndef area(self, x): return x + 2\nS.area = area\n"},
        RUN,
    ),
    row(
        "a method is patched now",
        {
            "flow.py": flow("from shapes import S\nimport patches", "return S().area(x)"),
            "shapes.py": "class S:\n    def area(self, x): return x\n",
            "patches.py": "",
        },
        {"patches.py": "from shapes import S\ndef area(self, x): return x + 2\nS.area = area\n"},
        RUN,
    ),
    row(
        "a foreign function is patched",
        {
            "flow.py": flow("import math\nimport patches", "return math.sqrt(x)"),
            "patches.py": "import math\ndef sqrt(x): return 1\nmath.sqrt = sqrt\n",
        },
        {"patches.py": "import math\ndef sqrt(x): return 2\nmath.sqrt = sqrt\n"},
        RUN,
    ),
    own(
        "a seed",
        "import random\nrandom.seed(0)\ndef use(x): return random.random()",
        "import random\nrandom.seed(1)\ndef use(x): return random.random()",
        RUN,
    ),
    row(
        "a seed in a module that is imported",
        {
            "flow.py": flow("import features\nimport random", "return random.random()"),
            "features.py": "import random\nrandom.seed(0)\n",
        },
        {"features.py": "import random\nrandom.seed(1)\n"},
        RUN,
    ),
    row(
        "a seed in a module that is not",
        {"flow.py": flow("import random", "return random.random()"), "features.py": "import random\nrandom.seed(0)\n"},
        {"features.py": "import random\nrandom.seed(1)\n"},
        REUSE,
    ),
    own(
        "a function called at import",
        "S = []\ndef fill(n): S.append(n)\nfill(1)\ndef use(x): return len(S) + S[0]",
        "S = []\ndef fill(n): S.append(n)\nfill(2)\ndef use(x): return len(S) + S[0]",
        RUN,
    ),
    own(
        "what a function called at import does",
        "import os\ndef prepare(): os.environ['FLOW_Z'] = '1'\nprepare()\ndef use(x): return os.environ['FLOW_Z']",
        "import os\ndef prepare(): os.environ['FLOW_Z'] = '2'\nprepare()\ndef use(x): return os.environ['FLOW_Z']",
        RUN,
    ),
    own(
        "a setting of a library",
        "import decimal\ndecimal.getcontext().prec = 5\ndef use(x): return str(decimal.Decimal(1) / 3)",
        "import decimal\ndecimal.getcontext().prec = 6\ndef use(x): return str(decimal.Decimal(1) / 3)",
        RUN,
    ),
    own(
        "a warning filter",
        "import warnings\ndef use(x): return x",
        "import warnings\nwarnings.filterwarnings('ignore')\ndef use(x): return x",
        REUSE,
    ),
    own(
        "the import path",
        "import sys\ndef use(x): return x",
        "import sys\nsys.path.insert(0, 'more')\ndef use(x): return x",
        REUSE,
    ),
]

# ------------------------------------------------------------------------------------------------------- packages


def _installed(name: str, version: str, code: str, requires: str = "") -> dict[str, str]:
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    info = f"site:{name}-info.dist-info"
    return {
        f"site:{name}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/RECORD": f"{name}/__init__.py,,\n{name}-info.dist-info/METADATA,,\n",
    }


TINY = _installed("tinydist", "1.0", "def f(x): return x\n")
USES_TINY = {"flow.py": flow("import tinydist", "return tinydist.f(x)")}
EDITABLE = {
    "flow.py": flow("from mylib import f", "return f(x)"),
    "site:mylib.pth": "{tmp}/mylib/src\n",
    "site:mylib-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: mylib\nVersion: 1.0\n",
    "site:mylib-1.0.dist-info/RECORD": "mylib.pth,,\n",
    "site:mylib-1.0.dist-info/direct_url.json": '{"url": "file://{tmp}/mylib", "dir_info": {"editable": true}}',
    "beside:mylib/src/mylib/__init__.py": "from mylib.core import f\n",
    "beside:mylib/src/mylib/core.py": "N = 1\ndef f(x): return x + N\n",
}
PATH_INSTALL = {
    "flow.py": flow("from plib import f", "return f(x)"),
    **_installed("plib", "1.0", "def f(x): return x\n"),
    "site:plib-info.dist-info/direct_url.json": '{"url": "file://{tmp}/plib", "dir_info": {}}',
}

PACKAGES = [
    row("a package's version", TINY | USES_TINY, _installed("tinydist", "1.1", "def f(x): return x\n"), RUN),
    row(
        "a package's version, imported inside",
        TINY | {"flow.py": flow("", "import tinydist\nreturn tinydist.f(x)")},
        _installed("tinydist", "1.1", "def f(x): return x\n"),
        RUN,
    ),
    row(
        "a package that the step does not use",
        TINY | {"flow.py": flow("import tinydist", "return x", more="def other(x): return tinydist.f(x)")},
        _installed("tinydist", "1.1", "def f(x): return x\n"),
        REUSE,
    ),
    row(
        "a package that a package needs",
        _installed("top", "1.0", "import tinydist\nf = tinydist.f\n", "tinydist>=1")
        | TINY
        | {"flow.py": flow("from top import f", "return f(x)")},
        _installed("tinydist", "1.1", "def f(x): return x\n"),
        RUN,
    ),
    row(
        "a package for another Python",
        _installed("top", "1.0", "def f(x): return x\n", 'tinydist; python_version < "3"')
        | TINY
        | {"flow.py": flow("from top import f", "return f(x)")},
        _installed("tinydist", "1.1", "def f(x): return x\n"),
        REUSE,
    ),
    row(
        "a base class from a package",
        _installed("tinydist", "1.0", "class A: n = 1\n")
        | {"flow.py": flow("import tinydist", "return B.n", more="class B(tinydist.A): pass")},
        _installed("tinydist", "1.1", "class A: n = 1\n"),
        RUN,
    ),
    row("an editable package", EDITABLE, {"beside:mylib/src/mylib/core.py": "N = 2\ndef f(x): return x + N\n"}, RUN),
    row(
        "a comment in an editable package",
        EDITABLE,
        {"beside:mylib/src/mylib/core.py": "# why\nN = 1\ndef f(x): return x + N\n"},
        REUSE,
    ),
    row(
        "an editable package's version",
        EDITABLE,
        {"site:mylib-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: mylib\nVersion: 2.0\n"},
        REUSE,
    ),
    row("a package installed from a folder", PATH_INSTALL, {"site:plib/__init__.py": "def f(x): return -x\n"}, RUN),
    row(
        "a folder on the path that is no package",
        {"flow.py": flow("import loose", "return loose.f(x)"), "site:loose.py": "def f(x): return x\n"},
        {"site:loose.py": "def f(x): return -x\n"},
        RUN,
        wide=True,
    ),
    row(
        "a package that is imported for what that does",
        TINY | {"flow.py": flow("import tinydist")},
        _installed("tinydist", "1.1", "def f(x): return x\n"),
        RUN,
    ),
]

ROWS = [*COSMETIC, *FUNCTIONS, *DECORATORS, *CLASSES, *NAMES, *MODULES, *EFFECTS, *PACKAGES]
