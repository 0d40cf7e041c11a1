// The browser script of "real-time progress updates with django channels" (The Fool, 12 September 2017), as the page
// prints it; its project is https://github.com/the-fool/prog-rock. Kept unchanged from the next line on.
var ws_scheme = window.location.protocol == "https:" ? "wss" : "ws";
var ws_path = ws_scheme + '://' + window.location.host + '/prog/';

var socket = new WebSocket(ws_path);

socket.onmessage = onmessage;
document.getElementById('go-button').onclick = start;

function onmessage(msg) {
  var value = document.getElementById('prog-val');
  var data = JSON.parse(msg.data);

  if (data.progress) {
    value.innerHTML = data.progress + '%';
  }

  if (data.complete) {
    value.classList.add('complete');
  }
}

function start() {
  var msg = {
    action: 'start'
  };

  socket.send(JSON.stringify(msg));
}
