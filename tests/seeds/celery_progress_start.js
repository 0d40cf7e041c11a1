// As the documents of celery-progress begin it; the path of the socket stands behind the page's "#".
CeleryWebSocketProgressBar.initProgressBar(location.hash.slice(1), {});
