"""A client of the first generation of the MCP SDK searches over standard input and output, and looks up a hit."""
import asyncio
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

REQUIREMENTS = ['mcp==1.30.0']
NEEDS = 'run'
START = 'from embedding_search.cli import main; main()'


async def main(run):
    arguments = ['-c', START, 'mcp', '--run', run]
    server = StdioServerParameters(command=os.environ['PROJECT_PYTHON'], args=arguments, cwd=os.environ['PROJECT'])
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        started = await session.initialize()
        names = [tool.name for tool in (await session.list_tools()).tools]
        found = await session.call_tool('search', dict(query='an island in the south', k=3))
        first = found.structuredContent['hits'][0]
        entry = await session.call_tool('lookup', dict(id=first['id']))
        assert entry.structuredContent['title'] == first['title']
        wrong = await session.call_tool('lookup', dict(id='none'))
        assert wrong.isError
        print(f"protocol {started.protocolVersion}, tools {', '.join(names)}; {len(found.structuredContent['hits'])} "
              f"hits, first {first['title']!r}; a wrong id is a tool error")


asyncio.run(main(sys.argv[1]))
