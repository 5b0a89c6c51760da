/** The tour in a web worker, of a browser or of a runtime that has them. */
import { tour } from "./tour.ts";

/** What a worker's global scope has that a window's type has not. */
interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(data: unknown): void;
}

const scope = globalThis as unknown as WorkerScope;
scope.onmessage = async ({ data: { url, token, name } }) => {
  const answer = await tour(url, token, name).then((seen) => ({ seen }), (error) => ({
    error: String(error),
  }));
  scope.postMessage(answer);
};
