"""An MCP client starts `embedding-search mcp`, searches over standard input and output, and looks up the first hit."""
import asyncio
import os
import sys

from mcp import Client, StdioServerParameters

REQUIREMENTS = ['mcp==2.3.0']
NEEDS = 'run'
START = 'from embedding_search.cli import main; main()'


async def main(run):
    arguments = ['-c', START, 'mcp', '--run', run]
    server = StdioServerParameters(command=os.environ['PROJECT_PYTHON'], args=arguments, cwd=os.environ['PROJECT'])
    async with Client(server) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        found = await client.call_tool('search', dict(query='an island in the south', k=3))
        first = found.structured_content['hits'][0]
        entry = await client.call_tool('lookup', dict(id=first['id']))
        assert entry.structured_content['title'] == first['title']
        wrong = await client.call_tool('lookup', dict(id='none'))
        assert wrong.is_error
        print(f"protocol {client.protocol_version}, tools {', '.join(names)}; {len(found.structured_content['hits'])} "
              f"hits, first {first['title']!r}; a wrong id is a tool error")


asyncio.run(main(sys.argv[1]))
