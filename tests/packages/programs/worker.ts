/** The tour in a web worker of a browser or runtime. */
import { tour } from "./tour.ts";

/** Members of a worker's global scope that a window's type lacks. */
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
