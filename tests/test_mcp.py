"The MCP server as clients meet it: the installed command, over standard input and output and over HTTP."
import asyncio
import json
import os
import re
import subprocess

import httpx2
import pytest
from conftest import COMMAND, cli
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from embedding_search.search.searcher import sample_run

COMMAND_ARGS = ['mcp', '--run', str(sample_run()), '--name', 'icons']
KEY = 'secret-key'


async def use_tools(server, mode='auto'):
    "List the tools, search, look up the first hit, and make a mistake."
    async with Client(server, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = await client.call_tool('search', dict(query='unlocked padlock', k=3))
        entry = await client.call_tool('lookup', dict(id=found.structured_content['hits'][0]['id']))
        wrong = await client.call_tool('search', dict(query='padlock', category='Locks'))
        return client.instructions, tools, found, entry, wrong


def check(instructions, tools, found, entry, wrong):
    "Check the answers to `use_tools`."
    assert '"icons" has 7,447 entries' in instructions
    assert set(tools) == {'search', 'lookup'}
    assert tools['search'].annotations.read_only_hint
    assert tools['search'].input_schema['required'] == ['query']
    ids = [hit['id'] for hit in found.structured_content['hits']]
    assert ids == ['lock-open', 'camera-lock-open', 'file-lock-open']
    assert json.loads(found.content[0].text) == found.structured_content
    assert entry.structured_content['title'] == 'lock open'
    assert wrong.is_error
    assert "no category 'Locks' in this catalog" in wrong.content[0].text
    assert 'did you mean lock?' in wrong.content[0].text


@pytest.mark.parametrize('mode', ['auto', 'legacy'])
def test_standard_input_and_output(mode):
    "The newest protocol, and the handshake that most clients still use."
    check(*asyncio.run(use_tools(StdioServerParameters(command=COMMAND, args=COMMAND_ARGS), mode)))


def test_nothing_but_messages_is_printed(tmp_path):
    "Without a run of its own the command says so, but not where the client reads."
    start = dict(protocolVersion='2025-06-18', capabilities={}, clientInfo=dict(name='test', version='1'))
    message = dict(jsonrpc='2.0', id=1, method='initialize', params=start)
    result = cli('mcp', cwd=tmp_path, input=json.dumps(message) + '\n')
    assert json.loads(result.stdout)['result']['serverInfo']['name'] == 'embedding-search'
    assert 'no run yet' in result.stderr


@pytest.fixture
def http_server():
    "A server on a free port that requires a key."
    command = [COMMAND, *COMMAND_ARGS, '--http', '--port', '0']
    env = os.environ | dict(EMBEDDING_SEARCH_API_KEY=KEY)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try: yield re.search(r'http://\S+/mcp', process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_http(http_server):
    async def use_http():
        async with httpx2.AsyncClient(headers=dict(Authorization=f'Bearer {KEY}')) as http:
            return await use_tools(streamable_http_client(http_server, http_client=http))

    check(*asyncio.run(use_http()))
    assert httpx2.post(http_server, json={}).status_code == 401
    headers = dict(Authorization=f'Bearer {KEY}', Host='evil.example')
    assert httpx2.post(http_server, json={}, headers=headers).status_code == 421


def test_missing_run(tmp_path):
    result = cli('mcp', '--run', tmp_path)
    assert result.returncode == 2
    assert result.stdout == ''
    assert 'no finished index here' in result.stderr
