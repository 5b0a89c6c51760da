/** Starts `worker.ts` as a web worker, for Bun and Deno: `worker_main.ts URL TOKEN NAME`. */
import process from "node:process";

const [url, token, name] = process.argv.slice(2);
const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
worker.onerror = ({ message }) => {
  console.error(message);
  process.exitCode = 1;
};
worker.onmessage = ({ data: { seen, error } }) => {
  if (error === undefined) console.log(JSON.stringify(seen));
  else console.error(error);
  // A web worker listens until it is terminated: its end would show nothing about the SDK.
  worker.terminate();
};
worker.postMessage({ url, token, name });
