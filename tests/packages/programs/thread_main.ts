/**
 * The tour in a thread of Node: `thread_main.ts URL TOKEN NAME`. The thread, and with it the program, ends if
 * the SDK leaves nothing behind.
 */
import process from "node:process";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { tour } from "./tour.ts";

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: process.argv.slice(2) });
  worker.on("message", (seen) => console.log(JSON.stringify(seen)));
} else {
  const [url, token, name] = workerData as [string, string, string];
  parentPort?.postMessage(await tour(url, token, name));
}
