#!/usr/bin/env python3
"""Creates the service and the route of the first request, in a gateway that has no service at all.

A gateway that has any service is left alone. Where all were deleted, the next start makes these again.
"""
import os

import admin

if admin.call("GET", "/services?size=1")["data"]:
    print("there are services already: nothing to do")
else:
    admin.put("/services/example", {"url": os.environ["UPSTREAM"]})
    admin.put("/services/example/routes/example", {"paths": ["/example"]})
    print("made: service and route 'example', at /example")
