"""The interlock: what stands when everything else has failed. Its own entry of mitmproxy's addon chain, the last one."""
