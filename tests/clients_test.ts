/** WebSocket clients that are not ours, each against every socket implementation. Run by `clients/child.ts`. */
import { runInChild } from "./harness/child_scenarios.ts";

Deno.test("WebSocket clients of others", (t) => runInChild(t, "tests/clients/child.ts"));
