/**
 * The health check of the images, which have no shell and no curl: ends with 0 when the URL in its
 * only argument answers 200 within two seconds, else with 1 and the reason. No orchestrator's probe:
 * Kubernetes asks `/health/…` itself.
 */

const TIMEOUT_MS = 2_000;

/** What is wrong with the server at a URL; undefined when it answers 200. */
export async function problemAt(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await response.text();
    return response.status === 200 ? undefined : `${response.status} ${text.slice(0, 500)}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

if (import.meta.main) {
  const problem = await problemAt(Deno.args[0] ?? "");
  if (problem !== undefined) {
    console.error(problem);
    Deno.exit(1);
  }
}
