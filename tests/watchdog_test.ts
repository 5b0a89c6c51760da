/** A whole bus with a watchdog that takes ordinary work for a hang, and one with the default. */
import assert from "node:assert/strict";
import { initFolder, startServe } from "./harness/serve_bus.ts";

const STANDS = /level=error component=shield step=[^\n]+ stood_ms=\d+ msg="the event loop stands/;

Deno.test("a bus whose event loop stands for longer than it may ends itself", async () => {
  await using folder = await initFolder();
  // Loading the program alone takes longer.
  const config = `${await Deno.readTextFile(`${folder.path}/config.toml`)}
[watchdog]
stall_ms = 1
`;
  await Deno.writeTextFile(`${folder.path}/config.toml`, config);
  await assert.rejects(startServe(folder.path), (error: Error) => {
    assert.match(error.message, /^it ended with 137:/);
    assert.match(error.message, STANDS);
    return true;
  });
});
