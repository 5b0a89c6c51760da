/** The limit to compare with: Deno's WebSocket server that sends every frame back, nothing else. */
const server = Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(JSON.stringify({ url: `ws://127.0.0.1:${port}/` })),
}, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => socket.send(event.data);
  return response;
});
// The bench closes stdin when it is done, or ends: either way this process must not stay.
await Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {});
await server.shutdown();
