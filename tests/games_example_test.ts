/** The examples of rooms as programs in Chromium, as their commands start them. Run by `games/child.ts`. */
import { runInChild } from "./harness/child_scenarios.ts";

Deno.test("examples: an auction and a game", (t) => runInChild(t, "tests/games/child.ts"));
