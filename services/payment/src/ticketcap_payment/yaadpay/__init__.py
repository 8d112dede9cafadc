"""The client of YaadPay (Hyp Pay): the only code that knows its parameters, decimal amounts and currency numbers.

YaadPayError
├─ YaadPayUnavailable   no answer, or none that can be read
│  └─ YaadPayUnreached  not even connected: nothing was asked
└─ YaadPayRefused       an answer with a CCode that is not what was hoped for

Money calls raise none of them: their Answer says DONE, REFUSED, NOT_SENT or UNKNOWN.
"""
