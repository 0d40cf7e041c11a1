// Shows how a task stands, as its socket says; opens the socket again where the connection is lost.

const shown = document.querySelector("[data-task]");
const part = (name) => shown.querySelector(`[data-part="${name}"]`);
const scheme = location.protocol === "https:" ? "wss" : "ws";
const address = `${scheme}://${location.host}/ws/task_status/${encodeURIComponent(shown.dataset.task)}/`;

function show(status) {
  const { state, progress, error = "", result } = status;
  part("state").textContent = state;
  part("waits").hidden = state !== "PENDING";
  part("bar").value = progress.percent;
  part("description").textContent = progress.description;
  part("error").textContent = error;
  part("result").textContent = result === undefined || error ? "" : JSON.stringify(result);
}

function connect() {
  let over = false;
  const socket = new WebSocket(address);
  socket.onmessage = (event) => {
    const status = JSON.parse(event.data);
    show(status);
    over = status.complete && status.state !== "RETRY";
    if (over) socket.close();
  };
  socket.onclose = () => {
    if (!over) setTimeout(connect, 1000 + 1000 * Math.random());
  };
}

connect();
