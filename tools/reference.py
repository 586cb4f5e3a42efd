"Write what the documentation takes from the code itself: pages on commands and settings, and signatures."
import ast
import json
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import typer

from embedding_search.cli import app
from embedding_search.core import SettingsTable
from embedding_search.settings import Settings

SOURCE_LINK = r'/blob/main/(?P<file>[\w/]+\.py)#L(?P<line>\d+)\)\s*#+ (?P<name>[\w.]+)\s*```python\n(?P<shown>.*?)\n```'
BOUNDS = dict(ge='≥', gt='>', le='≤', lt='<')


def table(header, rows):
    "Write a Markdown table. Cells are on one line, and pipes in them are no borders."
    lines = [header, ['---'] * len(header), *rows]
    cells = [[re.sub(r'\s+', ' ', cell).replace('|', '&#124;') for cell in line] for line in lines]
    return '\n'.join(f"| {' | '.join(line)} |" for line in cells)


def code(text):
    "Mark up code in HTML: in a cell of a table, Markdown would end it at a pipe."
    escaped = text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
    return f'<code>{escaped}</code>' if text else ''


# Command line

CLI_START = """# Command line

> All commands with their options, as `embedding-search COMMAND --help` shows them.

An option that is not given, and has no default here, is taken from the [settings](settings.md)."""


def commands():
    "List the commands with their full names, in the order of `--help`."
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, 'commands', None)
        if inner is None: yield name, command
        else: yield from ((f'{name} {part}', command.commands[part]) for part in inner)


def default_text(parameter):
    "Write the default of an option; a switch, and an option that is left out, have none."
    default = parameter.default
    if parameter.required: return 'required'
    return '' if default in (None, '', False) else str(default)


def parameter_row(parameter, context):
    "Describe an argument or an option: how it is written, its default, what it does."
    written, _ = parameter.get_help_record(context)
    return code(written), code(default_text(parameter)), parameter.help or ''


def epilog_text(epilog):
    "Turn the end of a help text into Markdown: lines that keep their breaks become a block. Settings have a page."
    parts = []
    for part in epilog.split('\n\n'):
        if part.startswith('\b\nSettings'): parts.append('All settings: [Settings](settings.md).')
        elif part.startswith('\b\n'): parts.append(f'```text\n{part[2:].rstrip()}\n```')
        else: parts.append(part)
    return '\n\n'.join(parts)


def command_section(name, command):
    "Describe one command."
    context = command.make_context(f'embedding-search {name}', [], resilient_parsing=True)
    rows = [parameter_row(parameter, context) for parameter in command.params]
    parts = [f'## {name}', command.help, f'```sh\n{command.get_usage(context).removeprefix("Usage: ")}\n```',
             table(['option', 'default', 'what it does'], rows)]
    if command.epilog: parts.append(epilog_text(command.epilog))
    return '\n\n'.join(parts)


def cli_page():
    "Write the reference of the command line."
    sections = [command_section(name, command) for name, command in commands()]
    return '\n\n'.join([CLI_START, *sections]) + '\n'


# Settings

SETTINGS_START = """# Settings

> All settings of a run, with type, default and meaning.

Put them into a TOML file for `--settings FILE`, or change single ones with `--set TABLE.KEY=VALUE`:

```toml
seed = 1

[training]
epochs = 2
```

A run keeps its settings, so later commands need only `--run`.

## Without a table
"""
SETTINGS_HEADER = ['setting', 'type', 'default', 'what it does']


def type_text(annotation):
    "Write a type as a user of a TOML file reads it."
    args = get_args(annotation)
    origin = get_origin(annotation)
    if annotation is NoneType: return 'none'
    if origin is Annotated: return type_text(args[0])
    if origin is Literal: return ' or '.join(json.dumps(arg) for arg in args)
    if origin in (Union, UnionType): return ' or '.join(map(type_text, args))
    if args: return f"{origin.__name__} of {' to '.join(map(type_text, args))}"
    return annotation.__name__


def limits(field):
    "Write the bounds of a setting."
    known = [(sign, getattr(bound, name, None)) for bound in field.metadata for name, sign in BOUNDS.items()]
    return ', '.join(f'{sign} {value}' for sign, value in known if value is not None)


def setting_row(name, field):
    "Describe a setting."
    default = json.dumps(field.default, ensure_ascii=False, default=lambda value: value.model_dump())
    kind = ' '.join(filter(None, [type_text(field.annotation), limits(field)]))
    return code(name), kind, code(default), field.description or ''


def settings_section(name, settings):
    "Describe one table of the settings, with a link to the notebook that explains it."
    kind = type(settings)
    *folder, module = kind.__module__.split('.')[1:]
    notebook = next(Path('nbs', *folder).glob(f'[0-9][0-9]_{module}.ipynb'))
    rows = [setting_row(key, field) for key, field in kind.model_fields.items()]
    link = f"[{notebook.stem[3:].replace('_', ' ')}](../{notebook.relative_to('nbs')})"
    return f'## [{name}]\n\n{kind.__doc__} Used in {link}.\n\n' + table(SETTINGS_HEADER, rows)


def settings_page():
    "Write the reference of the settings."
    fields = Settings.model_fields
    tables = {name: field.default for name, field in fields.items() if isinstance(field.default, SettingsTable)}
    top = [setting_row(name, field) for name, field in fields.items() if name not in tables]
    sections = [settings_section(name, settings) for name, settings in tables.items()]
    return '\n\n'.join([SETTINGS_START, table(SETTINGS_HEADER, top), *sections]) + '\n'


# Signatures

def definition(file, name, line):
    "Find the definition of a function or class in a file: the one with this name that is nearest to `line`."
    kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
    found = [node for node in ast.walk(ast.parse(Path(file).read_text(encoding='utf-8')))
             if isinstance(node, kinds) and node.name == name]
    return min(found, key=lambda node: abs(node.lineno - line), default=None)


def header(lines, node):
    "Cut the lines of a definition up to its body, comments included."
    first = node.body[0]
    cut = lines[node.lineno - 1:first.lineno]
    cut[-1] = cut[-1][:first.col_offset].rstrip()
    indent = len(cut[0]) - len(cut[0].lstrip())
    return [line[indent:] for line in cut if line.strip()]


def fields(lines, node):
    "List the lines of a class that declare fields, with their comments."
    declared = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    return [line for part in declared for line in lines[part.lineno - 1:part.end_lineno]]


def signature(file, name, line):
    "Write a signature as the source has it, with full types and comments; a class with fields and `__init__`."
    node = definition(file, name.split('.')[-1], line)
    if not node: return ''
    lines = Path(file).read_text(encoding='utf-8').splitlines()
    shown = header(lines, node)
    if isinstance(node, ast.ClassDef):
        shown += fields(lines, node)
        inits = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == '__init__']
        for init in inits: shown += [f'    {part}' for part in header(lines, init)]
    return '\n'.join(shown)


def full_signature(match):
    "Replace the signature that nbdev shows, which has `list` for `list[dict]`, by that of the source."
    found = signature(match['file'], match['name'], int(match['line']))
    return match[0].replace(match['shown'], found) if found else match[0]


def full_signatures(text):
    "Write full types into the signatures of a Markdown output."
    return re.sub(SOURCE_LINK, full_signature, text, flags=re.S)
