/** A page with Centrifugo's browser library from npm, in Chromium on a bus. */
import { runInChild } from "./harness/child_scenarios.ts";

Deno.test("Centrifugo's chat in Chromium", (t) => runInChild(t, "tests/centrifugo_page_child.ts"));
