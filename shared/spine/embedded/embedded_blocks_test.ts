/** Specific to the embedded store of blocks: its bound for all tenants, its file, and the effect of a damaged file. */
import assert from "node:assert/strict";
import { QUIET } from "../../testing/logs.ts";
import { temporaryFolder } from "../../testing/temporary_folder.ts";
import { until } from "../../testing/until.ts";
import { DatabaseSync } from "node:sqlite";
import { refusedWith } from "../testing/conformance.ts";
import type { BlockStore } from "../contract/block_store.ts";
import type { Spine } from "../contract/spine.ts";
import { openEmbedded } from "./embedded.ts";

const RETENTION = { max_bytes: 65_536, max_age_seconds: 60 };
const BLOCK = { node_id: "shield-1", ttl_seconds: 3_600, max_bytes: 1_048_576 };
/** As the audit log stores its entries. */
const ENTRY = { tenant_id: "bus", node_id: "audit", ttl_seconds: Infinity, max_bytes: Infinity };
const log = QUIET;

async function onDisk(
  run: (
    open: (now?: () => number, monotonic_ms?: () => number) => Spine,
    data_dir: string,
  ) => Promise<void>,
): Promise<void> {
  await using data_dir = await temporaryFolder();
  const open = (now = Date.now, monotonic_ms = () => performance.now()) =>
    openEmbedded({ log, now, monotonic_ms, data_dir: data_dir.path });
  await run(open, data_dir.path);
}

Deno.test("the embedded journal bounds all tenants together, also after a restart", async () => {
  await onDisk(async (open) => {
    for (const round of [0, 1]) {
      const spine = open();
      const journal = await spine.blocks("journal", RETENTION);
      for (let at = 0; at < 40; at++) {
        const payload = new Uint8Array(3_968).fill(at);
        await journal.append({ ...BLOCK, tenant_id: `tenant-${at % 2}`, payload });
        const one = await journal.status("tenant-0");
        const two = await journal.status("tenant-1");
        assert.ok(one.bytes + two.bytes <= RETENTION.max_bytes);
        if (round === 1) assert.equal(one.blocks + two.blocks, 16);
      }
      await spine.drain();
    }
  });
});

Deno.test("no block of the embedded journal outlives the age of all, whatever its own", async () => {
  await onDisk(async (open) => {
    let now_ms = 1_700_000_000_000;
    const spine = open(() => now_ms);
    const journal = await spine.blocks("journal", RETENTION);
    await journal.append({ ...BLOCK, tenant_id: "acme", payload: new Uint8Array(9) });
    now_ms += 59_000;
    assert.equal((await journal.read({ tenant_id: "acme", limit: 9 })).blocks.length, 1);
    now_ms += 1_000;
    assert.equal((await journal.read({ tenant_id: "acme", limit: 9 })).blocks.length, 0);
    assert.equal((await journal.status("acme")).blocks, 0);
    await spine.drain();
  });
});

Deno.test("blocks and entries of the audit log expire also where nobody writes or asks", async () => {
  await onDisk(async (open) => {
    let now_ms = 1_700_000_000_000;
    let monotonic_ms = 0;
    const spine = open(() => now_ms, () => monotonic_ms);
    const journal = await spine.blocks("journal", RETENTION);
    const audit = await spine.blocks("audit", RETENTION);
    await journal.append({ ...BLOCK, tenant_id: "acme", payload: new Uint8Array(9) });
    await audit.append({ ...ENTRY, payload: new Uint8Array(9) });
    assert.equal((await audit.status("bus")).blocks, 1);
    [now_ms, monotonic_ms] = [now_ms + 120_000, monotonic_ms + 120_000];
    await until("they are gone", async () => {
      return (await journal.room()).bytes + (await audit.room()).bytes === 0;
    });
    await spine.drain();
  });
});

Deno.test("blocks of a time are found though the clock was ahead of it before", async () => {
  await onDisk(async (open) => {
    const start_ms = 1_700_000_000_000;
    let now_ms = start_ms;
    const spine = open(() => now_ms);
    const journal = await spine.blocks("journal", { ...RETENTION, max_age_seconds: 86_400 });
    for (const [at, minutes] of [0, 60, 1, 31].entries()) {
      now_ms = start_ms + minutes * 60_000;
      await journal.append({ ...BLOCK, tenant_id: "acme", payload: new Uint8Array([at]) });
    }
    const from_ms = start_ms + 30 * 60_000;
    const { blocks } = await journal.read({ tenant_id: "acme", from_ms, limit: 9 });
    assert.deepEqual(blocks.map(({ payload: [at] }) => at), [1, 2, 3]);
    await spine.drain();
  });
});

for (const step_ms of [2_000, 20_000, 7_200_000]) {
  Deno.test(`a clock that is ahead by ${step_ms} ms deletes no block and no entry of the audit log`, async () => {
    await onDisk(async (open) => {
      let now_ms = 1_700_000_000_000;
      let monotonic_ms = 0;
      const pass = (ms: number) => void ([now_ms, monotonic_ms] = [now_ms + ms, monotonic_ms + ms]);
      const spine = open(() => now_ms, () => monotonic_ms);
      const kept = { max_bytes: 65_536, max_age_seconds: step_ms / 1_000 };
      const journal = await spine.blocks("journal", kept);
      const audit = await spine.blocks("audit", kept);
      const write = async (at: number) => {
        const payload = new Uint8Array([at]);
        await journal.append({ ...BLOCK, tenant_id: "acme", payload });
        await audit.append({ ...ENTRY, payload, expected: at });
      };
      const first = async () => [
        (await journal.read({ tenant_id: "acme", limit: 9 })).blocks[0]?.payload[0],
        (await audit.read({ tenant_id: "bus", limit: 9 })).blocks[0]?.payload[0],
      ];
      pass(3 * step_ms);
      await write(0);
      now_ms += step_ms;
      await write(1);
      now_ms -= step_ms;
      assert.deepEqual(await first(), [0, 0]);
      // Each block expires at its time, once the clock has been right for that long.
      await write(2);
      pass(3 * step_ms);
      await write(3);
      assert.deepEqual(await first(), [3, 3]);
      await spine.drain();
    });
  });
}

Deno.test("a start with a clock that is ahead by years forgets nothing that was removed for space", async () => {
  await onDisk(async (open) => {
    let now_ms = 1_700_000_000_000;
    const whole = async () => {
      const spine = open(() => now_ms);
      const journal = await spine.blocks("journal", { ...RETENTION, max_age_seconds: 86_400 });
      const payload = new Uint8Array(3_968);
      if (now_ms === 1_700_000_000_000) {
        for (let at = 0; at < 40; at++) {
          await journal.append({ ...BLOCK, tenant_id: "acme", payload });
        }
      }
      const { whole_ms } = await journal.status("acme");
      await spine.drain();
      return whole_ms;
    };
    const first_ms = await whole();
    assert.ok(first_ms !== undefined);
    now_ms += 1_000 * 86_400_000;
    await whole();
    now_ms -= 999.9 * 86_400_000;
    assert.equal(await whole(), first_ms);
  });
});

Deno.test("an entry of the audit log that cannot make room is not stored", async () => {
  await onDisk(async (open, data_dir) => {
    const kept = { max_bytes: 1_500, max_age_seconds: 60 };
    const append = (store: BlockStore, bytes: number) =>
      store.append({ ...ENTRY, payload: new Uint8Array(bytes) });
    const first = open();
    const before = await first.blocks("audit", kept);
    for (const bytes of [300, 300, 300]) await append(before, bytes);
    await first.drain();
    const file = new DatabaseSync(`${data_dir}/audit.sqlite`);
    file.exec(
      "CREATE TRIGGER broken BEFORE DELETE ON block BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END",
    );
    file.close();
    const spine = open();
    const audit = await spine.blocks("audit", kept);
    await assert.rejects(append(audit, 300), refusedWith("log-unavailable"));
    const { bytes, last } = await audit.room();
    assert.deepEqual([bytes, last], [3 * 428, 3]);
    await append(audit, 10);
    assert.equal((await audit.room()).last, 4);
    await spine.drain();
  });
});

Deno.test("a damaged journal is reported, and everything else continues", async () => {
  await onDisk(async (open, data_dir) => {
    const bytes = crypto.getRandomValues(new Uint8Array(8_192));
    await Deno.writeFile(`${data_dir}/journal.sqlite`, bytes);
    const spine = open();
    await assert.rejects(spine.blocks("journal", RETENTION), (error) => {
      assert.match(String(error), /journal\.sqlite .*is damaged/);
      assert.match(String(error), /without which everything else works/);
      return true;
    });
    const bucket = await spine.keyValue("TEST");
    await bucket.put(["a"], bytes);
    await Deno.remove(`${data_dir}/journal.sqlite`);
    await (await spine.blocks("journal", RETENTION)).append({
      ...BLOCK,
      tenant_id: "acme",
      payload: bytes,
    });
    await spine.drain();
  });
});
