// SPDX-License-Identifier: Apache-2.0
// The same in C++: a word count that remembers, with exceptions and containers.
#include <vmkit/guest.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

namespace
{

class Words
{
  public:
    std::string
    add(const std::string &text)
    {
        std::istringstream stream(text);
        for (std::string word; stream >> word;)
            ++counts_[word];
        if (counts_.empty())
            throw std::invalid_argument("no word");
        std::ostringstream out;
        for (const auto &[word, count] : counts_)
            out << word << '=' << count << ' ';
        return out.str();
    }

  private:
    std::map<std::string, int> counts_;
};

} // namespace

int
main()
{
    Words words;
    std::array<char, 4096> buffer;
    int64_t size = vmkit_guest_receive(buffer.data(), buffer.size());
    while (size >= 0) {
        std::string reply;
        try {
            reply = words.add(std::string(buffer.data(), static_cast<size_t>(size)));
        } catch (const std::exception &error) {
            reply = error.what();
        }
        size = vmkit_guest_reply_receive(reply.data(), reply.size(), buffer.data(), buffer.size());
    }
    return vmkit_guest_generation() == 0 ? static_cast<int>(-size) : 1;
}
