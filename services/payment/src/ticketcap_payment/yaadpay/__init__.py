"""Speak YaadPay's (Hyp Pay's) protocol.

No other code knows its parameters, decimal amounts and currency numbers. Calls that move no money raise:

YaadPayError
├─ YaadPayUnavailable   no response, or an unreadable one
│  └─ YaadPayUnreached  not even connected: YaadPay received nothing
└─ YaadPayRefused       a response with another CCode than success

Calls that move money raise none of them. Their YaadPayResponse says DONE, REFUSED, NOT_SENT or UNKNOWN.
"""
