/**
 * The disk of a bus is full for a while, during messages: rows that combine each value with that, judged by
 * `fault_model.ts`. Skipped if no file system can be mounted.
 */
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { samplesOf } from "../harness/server_state.ts";
import { mountSmallDisk, noSmallDisk } from "../harness/small_disk.ts";
import { Receiver } from "../hooks/receiver.ts";
import { FAULT_FACTORS } from "./fault_model.ts";
import { runThrough } from "./fault_run.ts";
import { faultRows, gaugesOf, idleAgain } from "./faults.ts";
import { configOf, groundOf } from "./run.ts";

/** The number of the fault, which orders the rows' values. */
const FULL_DISK = 20;
/** Large enough for the rows' logs and journals. */
const DISK_MEBIBYTES = 128;

/** How long it stays full, in ms. */
const FULL_MS = 2_000;

const why_not = noSmallDisk();
if (why_not !== undefined) console.error(`full disks are not tested: ${why_not}`);
/** A test that exists only if a file system can be mounted. */
function testOnDisk(name: string, run: () => Promise<void>): void {
  if (why_not === undefined) Deno.test(name, run);
}

testOnDisk("a bus whose disk is full for a while behaves as its model", async () => {
  await using receiver = new Receiver();
  const rows = faultRows(FULL_DISK, undefined, FAULT_FACTORS);
  await using disk = await mountSmallDisk(DISK_MEBIBYTES);
  const data_dir = `${disk.folder}/data`;
  await using bus = await startLocalBus(configOf(rows, receiver), { data_dir });
  const ground = await groundOf(bus, bus, receiver);
  const before = await gaugesOf(bus.ops_url);
  const isWritable = async (wanted: number) => {
    const samples = await samplesOf(bus.ops_url);
    return samples.get("arqon_spine_storage_writable") === wanted;
  };
  const strike = async () => {
    await disk.fill();
    await until("a write fails", () => isWritable(0));
    await pace(FULL_MS);
    await disk.clear();
    await until("writes succeed", () => isWritable(1));
  };
  await runThrough({ grounds: [ground], harm: { fills_disk: true }, strike }, rows);
  await idleAgain(bus.ops_url, before);
});
