/**
 * A bus with its data on disk stops orderly and restarts on the same folder, during messages: rows that combine each
 * value with that, judged by `fault_model.ts`.
 */
import { atEnd } from "../../shared/testing/at_end.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { freePorts } from "../harness/free_ports.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { Receiver } from "../hooks/receiver.ts";
import { FAULT_FACTORS } from "./fault_model.ts";
import { runThrough } from "./fault_run.ts";
import { faultRows, gaugesOf, idleAgain } from "./faults.ts";
import { configOf, groundOf } from "./run.ts";

/** The number of the fault, which orders the rows' values. */
const RESTART = 5;

Deno.test("a bus that is restarted on its data behaves as its model", async () => {
  await using receiver = new Receiver();
  const rows = faultRows(RESTART, undefined, FAULT_FACTORS);
  await using data_dir = await temporaryFolder();
  const config = configOf(rows, receiver).replace("[server]\n", "[server]\ndrain_ms = 0\n");
  const ports = freePorts(3) as [number, number, number];
  const begin = () => startLocalBus(config, { data_dir: data_dir.path, ports });
  let bus = await begin();
  await using _end = atEnd(() => bus.stop());
  const ground = await groundOf(bus, bus, receiver);
  const before = await gaugesOf(bus.ops_url);
  const strike = async () => {
    await bus.stop();
    bus = await begin();
  };
  const harm = { cuts_clients: true, forgets: true };
  await runThrough({ grounds: [ground], harm, strike }, rows);
  await idleAgain(bus.ops_url, before);
});
