"""Ask an MCP server of a run as a client does, and put the transcript into docs/agents.md.

    python tools/mcp_transcript.py --run runs/demo --name "ICD-10-CM diagnosis codes"

Run it again after a change of the server or of the run. The messages are those that a model sees."""
import argparse
import asyncio
import json
import re
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT/'docs'/'agents.md'
BEGIN = '<!-- transcript -->'
END = '<!-- end of transcript -->'
COMMAND = Path(sys.executable).parent/'embedding-search'


def block(language, text): return f'```{language}\n{text}\n```\n'


def show(value): return json.dumps(value, indent=1, ensure_ascii=False)


async def call(client, tool, arguments):
    "Call a tool; return the answer and both as Markdown."
    answer = await client.call_tool(tool, arguments)
    content = answer.content[0].text if answer.is_error else show(answer.structured_content)
    heading = f'The client calls `{tool}`:\n'
    result = 'The answer is an error that a model can act on:\n' if answer.is_error else 'The answer:\n'
    request = block('json', json.dumps(arguments, ensure_ascii=False))
    return answer, '\n'.join([heading, request, result, block('text' if answer.is_error else 'json', content)])


async def transcribe(run, name, query, k, category, wrong_id):
    "Return the transcript of a session as Markdown."
    server = StdioServerParameters(command=str(COMMAND), args=['mcp', '--run', str(run), '--name', name])
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        parts = [f'Protocol {client.protocol_version}. The server introduces itself:\n',
                 block('text', client.instructions), 'It offers two tools:\n',
                 block('text', '\n\n'.join(f'{tool.name}: {tool.description}' for tool in tools))]
        found, text = await call(client, 'search', dict(query=query, k=k))
        parts.append(text)
        first = found.structured_content['hits'][0]
        parts.append((await call(client, 'lookup', dict(id=first['id'])))[1])
        parts.append((await call(client, 'search', dict(query=query, k=1, category=category)))[1])
        parts.append((await call(client, 'lookup', dict(id=wrong_id)))[1])
    return '\n'.join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', type=Path, default=Path('runs/demo'), help='finished run [runs/demo]')
    parser.add_argument('--name', default='ICD-10-CM diagnosis codes', help='what the catalog is called')
    parser.add_argument('--query', default='sugar disease with kidney trouble')
    parser.add_argument('-k', type=int, default=5, help='number of hits [5]')
    parser.add_argument('--category', default='Type 2 diabetes mellitus', help='category of the second search')
    parser.add_argument('--wrong-id', default='E14.2', help='id that the catalog does not have')
    options = parser.parse_args()
    session = transcribe(options.run, options.name, options.query, options.k, options.category, options.wrong_id)
    transcript = asyncio.run(session)
    page = PAGE.read_text()
    pattern = re.compile(f'{BEGIN}.*?{END}', re.S)
    if not pattern.search(page): sys.exit(f'{PAGE}: the lines {BEGIN} and {END} are missing')
    PAGE.write_text(pattern.sub(lambda _: f'{BEGIN}\n{transcript}\n{END}', page))


if __name__ == '__main__': main()
