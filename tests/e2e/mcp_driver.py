"""Calls tools of an MCP server over stdio with the `mcp` SDK; run by a Python that has it (PRATIQUE_MCP_PYTHON).

Standard input: {"command": [...], "calls": [[tool, arguments], ...]}. Standard output: [{"tool", "error", "text"}, ...].
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from mcp import ClientSession, StdioServerParameters  # type: ignore[import-not-found]
from mcp.client.stdio import stdio_client  # type: ignore[import-not-found]


async def _run(command: list[str], calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    found = []
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        for tool, arguments in calls:
            result = await asyncio.wait_for(session.call_tool(tool, arguments), 120)
            failed = getattr(result, "is_error", None) or getattr(result, "isError", False)
            text = "\n".join(part.text for part in result.content if hasattr(part, "text"))
            found.append({"tool": tool, "error": bool(failed), "text": text})
    return found


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(asyncio.run(_run(asked["command"], asked["calls"])), sys.stdout)
