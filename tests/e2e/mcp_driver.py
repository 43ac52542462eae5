"""Calls tools of an MCP server over stdio with the `mcp` SDK; run by a Python that has it (PRATIQUE_MCP_PYTHON).

Arguments: the server's command. Standard output: {"name", "version"} of the server, then one line {"error", "text"} for each
line [tool, arguments] on standard input, until that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from mcp import ClientSession, StdioServerParameters  # type: ignore[import-not-found]
from mcp.client.stdio import stdio_client  # type: ignore[import-not-found]

CALL_SECONDS = 120


async def _run(command: list[str]) -> None:
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        started = await session.initialize()
        info = getattr(started, "server_info", None) or started.serverInfo
        _say({"name": info.name, "version": info.version})
        while line := await asyncio.to_thread(sys.stdin.readline):
            tool, arguments = json.loads(line)
            _say(await _call(session, tool, arguments))


async def _call(session: ClientSession, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        result = await asyncio.wait_for(session.call_tool(tool, arguments), CALL_SECONDS)
    except Exception as error:  # noqa: BLE001 - a protocol error is what the model is shown, too
        return {"error": True, "text": str(error)}
    failed = getattr(result, "is_error", None) or getattr(result, "isError", False)
    return {"error": bool(failed), "text": "\n".join(part.text for part in result.content if hasattr(part, "text"))}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1:]))
