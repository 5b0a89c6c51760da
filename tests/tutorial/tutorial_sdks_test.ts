/** The tutorials that install an SDK: in Python, and in React with the page in Chromium. */
import { runInChild } from "../harness/child_scenarios.ts";
import { follow } from "./tutorial_shell.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("docs/tutorial_python.md: every command does and prints what the page says", async () => {
  const page = await Deno.readTextFile(new URL("docs/tutorial_python.md", ROOT));
  // Not published yet: pip installs the checkout's SDK.
  const sdk = new URL("sdk/python", ROOT).pathname;
  await follow(page.replace("--quiet arqon-sdk", `--quiet ${sdk}`));
});

Deno.test("docs/tutorial_react.md", (t) => runInChild(t, "tests/tutorial/react_child.ts"));
