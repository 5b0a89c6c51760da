/** Served trees read by what others have written: Go's tlog and note, tessera's fsck, and a verifier in Python. */
import assert from "node:assert/strict";
import { openCheckpoint } from "@arqon/proto";
import { startLocalBus } from "../harness/local_bus.ts";
import { proofTool } from "./go_tool.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, verifierOf, vkeyOf } from "./served.ts";
import { verifierPy } from "./verifier.ts";

const SIZE = 700;

Deno.test("third parties read what a bus serves, and find it whole", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const tree = "default.bets";
  const files = served(bus, tree);
  await publish(bus, "bets", 300);
  const verifier = await verifierOf(files);
  const older = await grown(files, verifier, 300);
  await publish(bus, "bets", SIZE - 300, 300);
  const { note } = await grown(files, verifier, SIZE);
  const { root } = await openCheckpoint(note, verifier);
  const [url, vkey] = [treeUrl(bus, tree), await vkeyOf(files)];
  const seen = { size: SIZE, root: root.toBase64() };
  assert.deepEqual(await proofTool(["read", url, vkey]), seen);
  assert.deepEqual(await proofTool(["fsck", url, vkey]), { whole: true });

  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/older`, older.note);
    const history = await fetch(`${bus.http_url}/v1/rooms/bets/messages?limit=1000`, {
      headers: { authorization: `Bearer ${bus.token}` },
    });
    const messages = await history.text();
    await Deno.writeTextFile(`${folder}/messages`, `${messages}\n`);
    const options = [
      "--vkey",
      vkey,
      "--older",
      `${folder}/older`,
      "--messages",
      `${folder}/messages`,
    ];
    assert.deepEqual(await verifierPy([...options, url]), {
      found: { ...seen, breaks: [], messages: SIZE },
    });
    await Deno.writeTextFile(`${folder}/messages`, messages.replace('"n":137,', '"n":138,'));
    const { wrong } = await verifierPy([...options, url]);
    assert.match(wrong ?? "", /the message at offset \d+ is not the one that was logged/);
    for await (const one of older.entries(41)) {
      await Deno.writeTextFile(`${folder}/a.tlog-proof`, await older.proofOf(one));
      const { found } = await verifierPy(["--vkey", vkey, "--proof", `${folder}/a.tlog-proof`]);
      assert.deepEqual(found, { index: 41, size: 300, entry: one.entry });
      break;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
