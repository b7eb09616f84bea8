#include "remote/http_client.h"

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/strings.h"

namespace etrlrec {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kMostRedirects = 3;

// A server that closes its side must be an error of the call, not the end of the process. The
// library leaves this to the program.
void ignore_broken_pipes() {
  static std::once_flag done;
  std::call_once(done, [] { std::signal(SIGPIPE, SIG_IGN); });
}

std::chrono::microseconds microseconds(double seconds) {
  return std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
}

HttpFailure failure_of(httplib::Error error) {
  switch (error) {
    case httplib::Error::ConnectionTimeout:
      return HttpFailure::kTimeout;
    case httplib::Error::SSLLoadingCerts:
    case httplib::Error::SSLServerVerification:
      return HttpFailure::kTls;
    default:
      return HttpFailure::kConnection;
  }
}

const char* failure_text(HttpFailure failure) {
  switch (failure) {
    case HttpFailure::kTls:
      return "the server's certificate cannot be verified";
    case HttpFailure::kTimeout:
      return "no answer in time";
    case HttpFailure::kTooLarge:
      return "the answer is too large";
    default:
      return "the connection failed or was cut";
  }
}

// The path of a redirect on the same server, empty where it leads elsewhere.
std::string same_server_path(const std::string& location, const BaseUrl& base) {
  if (location.starts_with("/") && !location.starts_with("//")) return location;
  if (!location.starts_with(base.origin)) return "";
  const std::string path = location.substr(base.origin.size());
  return path.starts_with("/") ? path : "";
}

}  // namespace

BaseUrl parse_base_url(std::string_view url) {
  const std::string shown(url);
  const size_t scheme = url.find("://");
  const std::string name = ascii_lower(url.substr(0, scheme == url.npos ? 0 : scheme));
  CHECK(name == "http" || name == "https", kUsage,
        "--base-url: expected http://… or https://…, found \"{}\"", shown);
  std::string_view rest = url.substr(scheme + 3);
  const size_t slash = rest.find('/');
  const std::string_view host = rest.substr(0, slash);
  std::string_view path = slash == rest.npos ? "" : rest.substr(slash);
  CHECK(host.find('@') == host.npos, kUsage,
        "--base-url: expected no user name or password in it\nhint: --api-key-file, or the "
        "environment");
  CHECK(url.find_first_of("?#") == url.npos, kUsage, "--base-url: expected no query, found \"{}\"",
        shown);
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 127; });
  const size_t colon = host.find(':', host.find(']') == host.npos ? 0 : host.find(']'));
  const std::string_view port = colon == host.npos ? "" : host.substr(colon + 1);
  const bool digits =
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  CHECK(plain && !host.empty() && colon != 0 && digits && port.size() <= 5 &&
            (colon == host.npos || !port.empty()),
        kUsage, "--base-url: expected a server and perhaps a port, found \"{}\"", shown);
  while (path.ends_with('/')) path.remove_suffix(1);
  return {fmt::format("{}://{}", name, host), std::string(path)};
}

struct HttpClient::Library {
  explicit Library(const std::string& origin) : client(origin) {}
  httplib::Client client;
};

HttpClient::HttpClient(BaseUrl base, HttpOptions options)
    : base_(std::move(base)),
      options_(std::move(options)),
      library_(std::make_unique<Library>(base_.origin)) {
  ignore_broken_pipes();
  httplib::Client& client = library_->client;
  CHECK(client.is_valid(), kUsage, "--base-url: {} cannot be used", base_.origin);
  client.set_keep_alive(true);
  client.set_follow_location(false);
  client.set_connection_timeout(microseconds(options_.connect_seconds));
  client.set_read_timeout(microseconds(options_.total_seconds));
  client.set_write_timeout(microseconds(options_.total_seconds));
  if (!base_.origin.starts_with("https")) return;
  client.enable_server_certificate_verification(true);
  if (!options_.ca_file.empty()) client.set_ca_cert_path(options_.ca_file);
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::exchange(const std::string& path,
                                  const std::map<std::string, std::string>& headers,
                                  const std::string& body) {
  HttpResponse response;
  httplib::Request request;
  request.method = "POST";
  request.path = path;
  for (const auto& [name, value] : headers) request.headers.emplace(name, value);
  request.body = body;
  const Clock::time_point begin = Clock::now(), end = begin + microseconds(options_.total_seconds);
  // The library's own limits hold for each piece: a server that drips would never end.
  request.content_receiver = [&](const char* data, size_t length, uint64_t, uint64_t) {
    response.body.append(data, length);
    if (response.body.size() > options_.max_body_bytes) response.failure = HttpFailure::kTooLarge;
    if (Clock::now() > end) response.failure = HttpFailure::kTimeout;
    return response.failure == HttpFailure::kNone;
  };
  const httplib::Result result = library_->client.send(request);
  if (result) {
    response.status = result->status;
    for (const auto& [name, value] : result->headers)
      response.headers.emplace(ascii_lower(name), value);
    return response;
  }
  if (response.failure == HttpFailure::kNone) {
    response.failure = failure_of(result.error());
    if (response.failure == HttpFailure::kConnection && Clock::now() >= end)
      response.failure = HttpFailure::kTimeout;
  }
  response.message =
      fmt::format("{} ({})", failure_text(response.failure), httplib::to_string(result.error()));
  response.body.clear();
  return response;
}

HttpResponse HttpClient::post(const std::string& path,
                              const std::map<std::string, std::string>& headers,
                              const std::string& body) {
  std::string target = base_.path + path;
  HttpResponse response;
  for (int redirects = 0;; ++redirects) {
    response = exchange(target, headers, body);
    if (response.failure != HttpFailure::kNone || response.status < 300 || response.status > 399)
      return response;
    const auto found = response.headers.find("location");
    const std::string location = found == response.headers.end() ? "" : found->second;
    target =
        response.status == 307 || response.status == 308 ? same_server_path(location, base_) : "";
    if (!target.empty() && redirects < kMostRedirects) continue;
    response.failure = HttpFailure::kRedirect;
    response.message = fmt::format("refused to follow the redirect {} to \"{}\"", response.status,
                                   location.substr(0, 200));
    response.body.clear();
    return response;
  }
}

}  // namespace etrlrec
