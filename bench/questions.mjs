// What is asked of a server in benchmarks: name and path of each question, over a range of seconds since 1970.
export function questions(start, end) {
  const search = (q, limit = 20) => `/api/search?q=${encodeURIComponent(q)}&limit=${limit}&spss=3&start=${start}&end=${end}`;
  const range = (q, step = '60s') => `/api/metrics/query_range?q=${encodeURIComponent(q)}&start=${start}&end=${end}&step=${step}`;
  return [
    ['latest', search('{}')],
    ['service-error', search('{ resource.service.name = "payment" && status = error }')],
    ['slow-5xx', search('{ span.http.response.status_code >= 500 && duration > 1s }')],
    ['needle', search('{ span.enduser.id = "user-1234" }', 1000)],
    ['absent', search('{ span.enduser.id = "nobody" }')],
    ['regex', search('{ span.db.query.text =~ ".*eu-west.*LIMIT 7" && duration > 500ms }')],
    ['structural', search('{ resource.service.name = "frontend" && kind = server } >> { span.db.system = "postgresql" && duration > 800ms }')],
    ['aggregate', search('{ kind = server } | count() > 20 | avg(duration) > 500ms')],
    ['exhaustive', search('{ span.app.score > 99.9 }', 100000)],
    ['tags', `/api/v2/search/tags?start=${start}&end=${end}`],
    ['values-route', `/api/v2/search/tag/span.http.route/values?start=${start}&end=${end}`],
    ['rate', range('{} | rate()')],
    ['rate-by-service', range('{} | rate() by (resource.service.name)')],
    ['p99-by-route', range('{ kind = server } | quantile_over_time(duration, .99, .5) by (span.http.route)')],
    ['errors-by', range('{ status = error } | count_over_time() by (resource.service.name, span.http.route)')],
  ];
}
