// Node's own server, with its keep-alive time-out in milliseconds.
const [port, timeout] = process.argv.slice(2).map(Number);
const server = require("http").createServer((request, response) => {
  request.resume().on("end", () => response.end("ok"));
});
server.keepAliveTimeout = timeout;
server.keepAliveTimeoutBuffer = 0;
server.listen(port, "127.0.0.1");
