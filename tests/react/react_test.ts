/** `@arqon/react` from its npm package, with React 18 and 19, the stores with Vue and Svelte, the
 * whiteboard and the chat, in real Chromium. Run by `child.ts`. */
import { runInChild } from "../harness/child_scenarios.ts";

Deno.test("React, Vue, Svelte", (t) => runInChild(t, "tests/react/child.ts"));
